package cpuset

import (
	"slices"
	"strings"
	"testing"
)

func TestParseReadsNumbersAndRanges(t *testing.T) {
	for text, want := range map[string][]uint16{
		"": nil, " \n": nil, "0": {0}, "0-3": {0, 1, 2, 3}, "3,1,1-2\n": {1, 2, 3}, " 4 , 6-7 ": {4, 6, 7},
	} {
		got, err := Parse(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseRefusesWhatIsNoList(t *testing.T) {
	for _, text := range []string{",", "1,", "-", "1-", "-1", "3-1", "a", "1.5", "99999", "4096", "0-99999999999", strings.Repeat("0-4095,", 50) + "1"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is taken: %d cores", text, len(got))
		}
	}
}

func TestListsAreTakenFromEachOther(t *testing.T) {
	all := []uint16{0, 1, 2, 3}
	if got := Minus(all, []uint16{1, 9}); !slices.Equal(got, []uint16{0, 2, 3}) {
		t.Error(got)
	}
	if got := Common(all, []uint16{3, 1, 9}); !slices.Equal(got, []uint16{1, 3}) {
		t.Error(got)
	}
	if got := List(all); got != "0,1,2,3" {
		t.Error(got)
	}
	for want, cores := range map[string][]uint16{"": nil, "0-3": all, "0-1,3": {0, 1, 3}, "5": {5}, "1,3,5-6": {1, 3, 5, 6}} {
		if got := Format(cores); got != want {
			t.Errorf("%v is %q, want %q", cores, got, want)
		}
	}
}
