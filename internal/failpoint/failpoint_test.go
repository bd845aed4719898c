package failpoint

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryPointStandsInOnePlace reads the sources: a point that nobody comes by
// would be a test of nothing, and one in two places could not say what was done.
func TestEveryPointStandsInOnePlace(t *testing.T) {
	used := map[string]int{}
	call := regexp.MustCompile(`failpoint\.Here\(failpoint\.(\w+)\)`)
	for _, room := range []string{"client", "drivers"} {
		err := filepath.WalkDir(filepath.Join("..", "..", room), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			data, err := os.ReadFile(path)
			for _, m := range call.FindAllStringSubmatch(string(data), -1) {
				used[m[1]]++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	source, err := os.ReadFile("failpoint.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\t(\w+) +Point = "`).FindAllStringSubmatch(string(source), -1)
	for _, m := range declared {
		if used[m[1]] != 1 {
			t.Errorf("%s stands in %d places", m[1], used[m[1]])
		}
	}
	if len(declared) != len(Points()) {
		t.Errorf("%d points are declared, %d listed", len(declared), len(Points()))
	}
}
