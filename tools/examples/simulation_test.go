package examples

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/command"
	"github.com/steppe-run/steppe/command/term"
)

// TestSimulation runs what docs/simulation.md shows: the stories of its texts, by
// the commands of its console. One story is one history, so each run prints the
// same.
func TestSimulation(t *testing.T) {
	path, err := filepath.Abs("../../docs/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var out []string
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		out = append(out, lines[i])
		if lines[i] != "```text" && lines[i] != "```console" {
			continue
		}
		console := lines[i] == "```console"
		var block []string
		for i++; i < len(lines) && lines[i] != "```"; i++ {
			block = append(block, lines[i])
		}
		if console {
			block = consoleOf(t, block)
		} else if name, named := strings.CutPrefix(block[0], "# "); named {
			if err := os.WriteFile(name, []byte(strings.Join(block, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out = append(append(out, block...), "```")
	}
	got := strings.Join(out, "\n")
	if *write {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("docs/simulation.md shows what the program doesn't print: go test ./tools/examples -write\n%s", got)
	}
}

// consoleOf runs the commands of a block and returns it as it should be.
func consoleOf(t *testing.T, block []string) []string {
	var out []string
	for _, line := range block {
		text, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		if len(out) > 0 {
			out = append(out, "")
		}
		var printed bytes.Buffer
		s := term.System()
		s.Out, s.Err, s.Getenv = &printed, &printed, func(string) string { return "" }
		command.Main(t.Context(), wordsOf(text), s)
		out = append(append(out, line), strings.Split(strings.Trim(printed.String(), "\n"), "\n")...)
	}
	return out
}

// wordsOf splits a command; what is in double quotes is one word.
func wordsOf(text string) []string {
	var words []string
	for i, part := range strings.Split(text, `"`) {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}
