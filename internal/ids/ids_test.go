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

func TestUnderivedIsTheInverse(t *testing.T) {
	seed, other := NewSeed(), NewSeed()
	for _, n := range []uint32{0, 1, 255, 256, 70000, 1 << 31, 1<<32 - 1} {
		id, ok := Parse(Derive(seed, n))
		if !ok || id != DeriveRaw(seed, n) {
			t.Fatalf("Parse(Derive(%d)) = %x, %v", n, id, ok)
		}
		if got, ok := Underived(seed, id); !ok || got != n {
			t.Errorf("Underived of %d = %d, %v", n, got, ok)
		}
		if _, ok := Underived(other, id); ok {
			t.Errorf("identifier %d of one seed is claimed by another", n)
		}
		if [8]byte(id[4:12]) != Unchanged(seed) {
			t.Errorf("identifier %d doesn't hold the unchanged bytes of its seed", n)
		}
	}
}
