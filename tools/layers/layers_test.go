package layers

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/steppe-run/steppe"

func TestHouseKeepsItsWalls(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := ParseTable(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range Check(rules, list(t)) {
		t.Error(fault)
	}
}

func TestCheckSeesAForbiddenImport(t *testing.T) {
	rules, err := ParseTable("| floor | room | may import of ours |\n| --- | --- | --- |\n| 2 | `a/**` | b, itself |\n| 1 | `b` | itself |\n")
	if err != nil {
		t.Fatal(err)
	}
	faults := Check(rules, []Package{
		{Path: "a/x", Imports: []string{"b", "a"}},
		{Path: "b", Imports: []string{"a/x"}},
		{Path: "c"},
	})
	want := "b imports a/x, which its row doesn't allow; c stands in no room of the table"
	if got := strings.Join(faults, "; "); got != want {
		t.Errorf("got %s", got)
	}
}

// Goroutines have an owner that waits for them: only internal/loop starts one.
func TestOnlyLoopStartsGoroutines(t *testing.T) {
	owners := map[string]bool{"internal/loop": true, "tools": true, "e2e": true, "supervisor": true}
	for _, file := range goFiles(t) {
		dir := filepath.Dir(file)
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".pb.go") || owners[dir] || owners[firstFolder(dir)] {
			continue
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, filepath.Join("../..", file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s starts a goroutine that nobody waits for: use internal/loop", set.Position(g.Pos()))
			}
			return true
		})
	}
}

func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("../..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && d.Name() != "." || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			files = append(files, filepath.ToSlash(strings.TrimPrefix(p, "../../")))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func list(t *testing.T) []Package {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []Package
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		pkg := Package{Path: relative(p.ImportPath)}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, module) {
				pkg.Imports = append(pkg.Imports, relative(i))
			}
		}
		packages = append(packages, pkg)
	}
}

func relative(importPath string) string {
	if importPath == module {
		return "main.go"
	}
	return strings.TrimPrefix(importPath, module+"/")
}
