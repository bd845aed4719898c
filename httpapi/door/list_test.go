package door

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/state"
)

func TestHardFiltersAreRefusedSoon(t *testing.T) {
	for _, filter := range []string{
		strings.Repeat("(", 20_000),
		strings.Repeat("not ", 10_000) + `ID == "x"`,
		strings.Repeat(`ID == "x" or `, 5_000) + `ID == "x"`,
		strings.Repeat(`(ID == "x" and `, 2_000),
	} {
		begun := time.Now()
		match, err := Matcher(filter)
		if err == nil {
			_, _ = match(struct{ ID string }{"y"})
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%.30q… took %s (%v)", filter, took, err)
		}
	}
}

// TestPagesAddUp proves that pages of any size, in either direction, give each
// item once and in order.
func TestPagesAddUp(t *testing.T) {
	view := state.New(state.Options{}).Snapshot()
	rapid.Check(t, func(t *rapid.T) {
		how := rapid.SampledFrom([]order{ByID, ByNamespace, ByCreation, ByModification}).Draw(t, "order")
		var keys []Key
		for i := range rapid.IntRange(0, 30).Draw(t, "items") {
			k := Key{Last: "item-" + strconv.Itoa(i)}
			switch how {
			case ByNamespace:
				k.First = rapid.SampledFrom([]string{"a", "b", "team-x"}).Draw(t, "namespace")
			case ByCreation:
				k.Number = uint64(rapid.IntRange(1, 5).Draw(t, "index"))
			case ByModification:
				k.Number = uint64(i + 1) // this order's tokens name an index only
			}
			keys = append(keys, k)
		}
		keys = rapid.Permutation(keys).Draw(t, "stored")
		c := &Call{route: &Route{Watch: []server.Table{server.TableJobs}}}
		c.perPage = rapid.IntRange(1, 7).Draw(t, "page")
		c.Reverse = rapid.Bool().Draw(t, "reverse")
		var got []Key
		for {
			rep, err := List(c, view, slices.Values(keys), Listing[Key, Key]{Order: how, Key: Same[Key], Show: Same[Key]})
			if err != nil {
				t.Fatal(err)
			}
			page := rep.Value.([]Key)
			if len(page) > c.perPage {
				t.Fatalf("a page of %d", len(page))
			}
			got = append(got, page...)
			if rep.next == "" {
				break
			}
			c.nextToken = rep.next
		}
		want := slices.Clone(keys)
		slices.SortFunc(want, Key.compare)
		if c.Reverse {
			slices.Reverse(want)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func FuzzTokens(f *testing.F) {
	f.Add("default.web", uint8(ByNamespace))
	f.Add("12.abc", uint8(ByCreation))
	f.Add("12", uint8(ByModification))
	f.Fuzz(func(t *testing.T, token string, o uint8) {
		how := order(o % 4)
		k, err := how.parse(token)
		if err != nil {
			return
		}
		again, err := how.parse(how.token(k))
		if err != nil || again.compare(k) != 0 {
			t.Fatalf("%q became %v, then %v (%v)", token, k, again, err)
		}
	})
}
