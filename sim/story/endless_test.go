package story

import (
	"slices"
	"testing"
)

// TestAStoryWithoutEndIsBroken plays one whose log may have fewer entries than its
// job needs: it ends there, and what is left of it isn't judged.
func TestAStoryWithoutEndIsBroken(t *testing.T) {
	s, err := Parse("a cluster of 1 servers and 1 nodes\n\njob web service count=3\nwait 10m\nsettle\n")
	if err != nil {
		t.Fatal(err)
	}
	for most, want := range map[uint64][]string{0: nil, 5: {"rest"}, 5_000: nil} {
		r, err := Run(s, Options{Most: most})
		if err != nil {
			t.Fatal(err)
		}
		var rules []string
		for _, v := range r.Violations {
			rules = append(rules, v.Rule)
		}
		if !slices.Equal(rules, want) || len(r.Failures) > 0 {
			t.Errorf("of %d entries at most: %v, %v", most, rules, r.Failures)
		}
	}
}
