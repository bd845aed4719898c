package story

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestManual holds the manual against what can be said: each sentence and each
// setting of a job is in it, and each of its examples can be read.
func TestManual(t *testing.T) {
	data, err := os.ReadFile("../../docs/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(data)
	for _, v := range verbs() {
		if !strings.Contains(manual, "`"+v.form+"`") {
			t.Errorf("the manual doesn't have the sentence `%s`", v.form)
		}
	}
	for _, key := range slices.Concat(slices.Collect(maps.Keys(jobSettings())), slices.Collect(maps.Keys(groupSettings()))) {
		if !strings.Contains(manual, "`"+key+"`") {
			t.Errorf("the manual doesn't have the setting `%s` of jobs", key)
		}
	}
	forms := map[string]bool{}
	for example := range examples(manual) {
		words := strings.Fields(example)
		if opens(words) {
			if err := (&Story{}).describe(words); err != nil && !strings.Contains(err.Error(), "a cluster has") && !strings.Contains(err.Error(), "a node has") {
				t.Errorf("%s: %v", example, err)
			}
			continue
		}
		v, err := find(words)
		if err != nil {
			t.Errorf("the example `%s` can't be read: %v", example, err)
			continue
		}
		forms[v.form] = true
	}
	for _, v := range verbs() {
		if !forms[v.form] {
			t.Errorf("the manual has no example of `%s`", v.form)
		}
	}
}

// examples are what stands in the second column of the manual's tables of
// sentences, and its texts.
func examples(manual string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		inText := false
		for line := range strings.Lines(manual) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "```") {
				inText = line == "```text"
				continue
			}
			example := ""
			if columns := strings.Split(line, "|"); strings.HasPrefix(line, "| `") && len(columns) > 3 {
				example = strings.Trim(columns[2], " `")
			}
			if inText && line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "|") {
				example = line
			}
			if example != "" && !yield(example) {
				return
			}
		}
	}
}
