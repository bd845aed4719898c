package ids

import "testing"

func TestDeriveGivesDistinctValidIDs(t *testing.T) {
	seed := NewSeed()
	seen := map[string]uint32{}
	short := map[string]uint32{}
	for n := range uint32(20000) {
		id := Derive(seed, n)
		if !Valid(id) {
			t.Fatalf("Derive(%d) = %q is not a UUID", n, id)
		}
		if other, ok := seen[id]; ok {
			t.Fatalf("Derive(%d) and Derive(%d) are both %q", n, other, id)
		}
		seen[id] = n
		if other, ok := short[id[:8]]; ok {
			t.Fatalf("short forms of %d and %d are both %q", n, other, id[:8])
		}
		short[id[:8]] = n
	}
	for id, n := range seen {
		if again := Derive(seed, n); again != id {
			t.Fatalf("Derive(%d) gave %q and then %q", n, id, again)
		}
	}
}

func TestValid(t *testing.T) {
	for id, want := range map[string]bool{
		New():                                  true,
		"":                                     false,
		"6f1c9a52":                             false,
		"6f1c9a52-0000-4000-8000-00000000000g": false,
		"6f1c9a52x0000-4000-8000-000000000000": false,
		"6F1C9A52-0000-4000-8000-000000000000": true,
	} {
		if got := Valid(id); got != want {
			t.Errorf("Valid(%q) = %v", id, got)
		}
	}
}
