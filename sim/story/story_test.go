package story

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var rewrite = flag.Bool("rewrite", false, "take what the stories show for right")

// TestStories plays every story of testdata.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	result, err := Run(s, Options{Rewrite: *rewrite, Trace: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	if result.Broken() {
		t.Error(result)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(s.Answered(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
