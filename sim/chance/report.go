package chance

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Markdown writes a tally for people: what was played, which faults were
// injected how often, and in how many stories each feature met each fault.
func (t *Tally) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| | |\n| --- | ---: |\n| stories | %d |\n| violations | %d |\n| entries of the log | %d |\n| turns | %d |\n| virtual time | %.0f h |\n\n",
		t.Stories, len(t.Failures), t.Entries, t.Turns, t.Lived.Hours())
	b.WriteString("| fault | injected |\n| --- | ---: |\n")
	faults := slices.Sorted(maps.Keys(t.Faults))
	for _, fault := range faults {
		fmt.Fprintf(&b, "| %s | %d |\n", fault, t.Faults[fault])
	}
	b.WriteString("\nStories in which a feature was used and a fault was injected:\n\n| feature | stories |")
	for _, fault := range faults {
		fmt.Fprintf(&b, " %s |", fault)
	}
	b.WriteString("\n| --- | ---: |" + strings.Repeat(" ---: |", len(faults)) + "\n")
	for _, feature := range slices.Sorted(maps.Keys(t.Features)) {
		fmt.Fprintf(&b, "| %s | %d |", feature, t.Features[feature])
		for _, fault := range faults {
			fmt.Fprintf(&b, " %d |", t.Both[feature][fault])
		}
		b.WriteString("\n")
	}
	for _, f := range t.Failures {
		fmt.Fprintf(&b, "\n%s\n", f)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write tally: %w", err)
	}
	return nil
}
