// Package cpuset reads and writes lists of processors as the kernel has them,
// such as 0-3,8.
//
// It knows no noun of ours. Begin reading at Parse.
package cpuset

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Most is the highest number that a processor may have.
const Most = 4095

// errEmpty says that a list has a place without a number.
var errEmpty = errors.New("a number is missing")

// Parse reads a list of numbers and ranges; the result is sorted and names no
// processor twice. An empty text is an empty list.
func Parse(text string) ([]uint16, error) {
	var out []uint16
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := number(from)
		if err != nil {
			return nil, fmt.Errorf("read cores %q: %w", text, err)
		}
		last, err := number(to)
		if err != nil {
			return nil, fmt.Errorf("read cores %q: %w", text, err)
		}
		if last < first {
			return nil, fmt.Errorf("read cores %q: %d-%d runs backwards", text, first, last)
		}
		for n := first; n <= last; n++ {
			out = append(out, uint16(n))
		}
		if len(out) > 4*Most {
			return nil, fmt.Errorf("read cores: the list is too long")
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func number(text string) (int, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, errEmpty
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n > Most {
		return 0, fmt.Errorf("%q is no number of a processor", text)
	}
	return int(n), nil
}

// List writes every processor by itself: 0,1,2.
func List(cores []uint16) string {
	parts := make([]string, len(cores))
	for i, n := range cores {
		parts[i] = strconv.Itoa(int(n))
	}
	return strings.Join(parts, ",")
}

// Format writes a sorted list with ranges where numbers follow on each other:
// 0-2,8.
func Format(cores []uint16) string {
	var parts []string
	for i := 0; i < len(cores); {
		end := i
		for end+1 < len(cores) && cores[end+1] == cores[end]+1 {
			end++
		}
		part := strconv.Itoa(int(cores[i]))
		if end > i {
			part += "-" + strconv.Itoa(int(cores[end]))
		}
		parts = append(parts, part)
		i = end + 1
	}
	return strings.Join(parts, ",")
}

// Minus returns what of all is not among some.
func Minus(all, some []uint16) []uint16 {
	var out []uint16
	for _, n := range all {
		if !slices.Contains(some, n) {
			out = append(out, n)
		}
	}
	return out
}

// Common returns what of all is among some as well.
func Common(all, some []uint16) []uint16 { return Minus(all, Minus(all, some)) }
