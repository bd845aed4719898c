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

// A room is one idea: what needs more files is several. The nouns in structs
// may be as many as there are; tests and generated files don't count.
func TestNoRoomIsCrowded(t *testing.T) {
	const most = 15
	files := map[string]int{}
	for _, file := range goFiles(t) {
		dir := filepath.ToSlash(filepath.Dir(file))
		if strings.HasSuffix(file, "_test.go") || dir == "structs" || generated(t, file) {
			continue
		}
		files[dir]++
	}
	if files["server"] == 0 || files["state"] == 0 {
		t.Fatal("the rooms were not found")
	}
	for dir, n := range files {
		if n > most {
			t.Errorf("%s has %d files, %d is the most: give a part of it a room of its own", dir, n, most)
		}
	}
}

// generated reports whether a file says so in its first lines.
func generated(t *testing.T, file string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(data), "\npackage ")
	return strings.HasPrefix(head, "// Code generated ") || strings.Contains(head, "\n// Code generated ")
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

// Placing, committing and applying a plan costs a few microseconds an allocation.
// A signature costs a hundred: identities are signed when a task asks for them,
// never on that way.
func TestNothingIsSignedWherePlansAreMade(t *testing.T) {
	for _, file := range goFiles(t) {
		dir := filepath.ToSlash(filepath.Dir(file))
		if strings.HasSuffix(file, "_test.go") || !planWay(dir) {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if name := strings.Trim(i.Path.Value, `"`); signs(name) {
				t.Errorf("%s imports %s: what is signed here is signed for every allocation", file, name)
			}
		}
	}
	if !planWay("scheduler/place") || !planWay("server/placer") || planWay("server/identity") || !signs("crypto/ed25519") || signs("hash/fnv") {
		t.Error("this test doesn't know what it looks for")
	}
}

func planWay(dir string) bool {
	switch firstFolder(dir) {
	case "scheduler", "state":
		return true
	}
	return dir == "server/placer"
}

// signs tells of packages that sign; a sum over a file is no signature.
func signs(pkg string) bool {
	if pkg == "crypto/sha256" {
		return false
	}
	return pkg == "crypto" || strings.HasPrefix(pkg, "crypto/") || strings.Contains(pkg, "go-jose") || strings.HasSuffix(pkg, "/server/identity")
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
