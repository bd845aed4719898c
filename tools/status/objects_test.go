package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// values are the text constants of structs by name.
func values(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range []string{"values.go", "values_event.go", "values_task.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), "../../structs/"+file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				out[spec.Names[0].Name], _ = strconv.Unquote(lit.Value)
			}
			return true
		})
	}
	return out
}

// listed are the constants of structs that belong into the table of objects.
var listed = regexp.MustCompile(`^(JobType|JobStatus|EvalStatus|Trigger|AllocDesired|AllocClient|DescAlloc|DeploymentStatus|DescDeployment|NodeStatus|NodeEvent|DrainStatus|TaskState|Topic|Event|CheckStatus)[A-Z]`)

// own are those that the contract has no word for.
func own(name string) bool { return name == "DescAllocPreempted" || name == "CheckStatusWarning" }

func TestObjectsAreConstants(t *testing.T) {
	have, named := values(t), map[string]bool{}
	for _, c := range lines("contract/objects.tsv") {
		field, value, name := c[0]+"."+c[1], c[2], c[3]
		named[name] = true
		switch {
		case name == "" && c[4] != notYet:
			t.Errorf("%s: %q has no constant, and isn't said to be missing", field, value)
		case name != "" && have[name] != value:
			t.Errorf("%s: structs.%s is %q, not %q", field, name, have[name], value)
		case (c[4] == notYet || c[4] == partly) && (len(c) < 6 || c[5] == ""):
			t.Errorf("%s: %q is %s without a reason", field, value, c[4])
		}
	}
	for name := range have {
		if listed.MatchString(name) && !named[name] && !own(name) {
			t.Errorf("structs.%s is in no row", name)
		}
	}
}

// TestObjectsAreProven holds each row to what it claims of the code: who is named
// says the value, and nobody says what isn't built.
func TestObjectsAreProven(t *testing.T) {
	code, tests := map[string]string{}, map[string]string{}
	for _, room := range []string{"client", "httpapi", "scheduler", "server", "state", "structs"} {
		readRoom(t, "../../"+room, code, tests)
	}
	for _, c := range lines("contract/objects.tsv") {
		value, name, proof := c[0]+"."+c[1]+": "+c[2], c[3], strings.Fields(c[4])
		says := regexp.MustCompile(`\bstructs\.` + name + `\b`)
		switch {
		case proof[0] == "source" && !says.MatchString(code[proof[1]]):
			t.Errorf("%s: %s doesn't say it", value, proof[1])
		case proof[0] == "test" && !strings.Contains(tests[proof[1]], "func "+proof[2]+"("):
			t.Errorf("%s: there is no test %s in %s", value, proof[2], proof[1])
		case c[4] == notYet && name != "":
			for room, text := range code {
				if room != "structs" && room != "httpapi/show" && says.MatchString(text) {
					t.Errorf("%s isn't built, the table says, but %s says it", value, room)
				}
			}
		}
	}
}

// TestDefaultsAreProven holds each row that the tests of structs don't walk to what
// it claims of the code.
func TestDefaultsAreProven(t *testing.T) {
	code, tests := map[string]string{}, map[string]string{}
	for _, room := range []string{"client", "command/agent", "httpapi", "scheduler", "server", "structs"} {
		readRoom(t, "../../"+room, code, tests)
	}
	for _, c := range lines("contract/defaults.tsv") {
		name := c[0] + " " + c[1]
		proof := strings.SplitN(c[3], " ", 3)
		switch proof[0] {
		case "minimal", "has", "keys": // walked by structs
		case "says":
			if !strings.Contains(code[proof[1]], proof[2]) {
				t.Errorf("%s: %s doesn't say %q", name, proof[1], proof[2])
			}
		case "test":
			if !strings.Contains(tests[proof[1]], "func "+proof[2]+"(") {
				t.Errorf("%s: there is no test %s in %s", name, proof[2], proof[1])
			}
		default:
			if (c[3] != notYet && c[3] != partly) || len(c) < 5 || c[4] == "" {
				t.Errorf("%s: %q is no proof", name, c[3])
			}
		}
	}
}

// readRoom gathers the code and the tests of a room and those below it.
func readRoom(t *testing.T, root string, code, tests map[string]string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		room, _ := filepath.Rel("../..", filepath.Dir(path))
		if strings.HasSuffix(path, "_test.go") {
			tests[room] += string(text)
		} else {
			code[room] += string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
