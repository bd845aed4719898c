package door

import (
	"strings"
	"testing"
)

func TestFaultsOfFiltersAreSentences(t *testing.T) {
	type item struct {
		ID    string
		Count int
	}
	for filter, want := range map[string]string{
		`ID = "x"`:              `failed to read filter expression: at column 4, before "= \"x\"": write comparisons such as`,
		`ID == `:                `at column 7, at its end, something is missing`,
		`(ID == "x"`:            `at column 11, at its end`,
		`ID == "ä" orr`:         `at column 13, before "r"`,
		`ID == "x" or Nme == 1`: `failed to read result page: at column 14: what is listed has no field "Nme"`,
		`Count == "many"`:       `at column 11: "many" is not a value of the field`,
		`ID matches "("`:        `can't be used: failed to compile regular expression`,
	} {
		match, err := Matcher(filter)
		if err == nil {
			_, err = match(&item{})
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "no match found") || statusOf(err) != 400 {
			t.Errorf("%s: %v, want %q", filter, err, want)
		}
	}
}
