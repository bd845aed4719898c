package feasible

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/steppe-run/steppe/structs"
)

// predicate compares the left value of a constraint with its right one; lok
// and rok say which of them the node has.
type predicate func(l string, lok bool, r string, rok bool) bool

// both is a predicate that needs both values.
func both(f func(l, r string) bool) predicate {
	return func(l string, lok bool, r string, rok bool) bool { return lok && rok && f(l, r) }
}

// operator returns the predicate of an operand, nil if there is none of that
// name. What it prepares (regular expressions, versions) it keeps, so it is to
// be asked once an expression, not once a node.
func operator(operand string) predicate {
	switch operand {
	case "", "=", "==", "is":
		return both(func(l, r string) bool { return l == r })
	case "!=", "not":
		// A node that lacks the attribute is different from any value.
		return func(l string, lok bool, r string, rok bool) bool { return lok != rok || l != r }
	case "<":
		return both(func(l, r string) bool { return compare(l, r) < 0 })
	case "<=":
		return both(func(l, r string) bool { return compare(l, r) <= 0 })
	case ">":
		return both(func(l, r string) bool { return compare(l, r) > 0 })
	case ">=":
		return both(func(l, r string) bool { return compare(l, r) >= 0 })
	case structs.OpRegexp:
		return both(matchRegexp())
	case structs.OpVersion:
		return both(matchVersion())
	case structs.OpSemver:
		return both(matchSemver())
	case structs.OpSetContains, structs.OpSetContainsAll:
		return both(containsAll)
	case structs.OpSetContainsAny:
		return both(containsAny)
	case structs.OpAttributeSet, "attribute_is_set":
		return func(_ string, lok bool, _ string, _ bool) bool { return lok }
	case structs.OpAttributeNotSet, "attribute_is_not_set":
		return func(_ string, lok bool, _ string, _ bool) bool { return !lok }
	}
	return nil
}

// compare orders two values as integers if both are, else as numbers if both
// are, else as texts.
func compare(l, r string) int {
	li, lerr := strconv.ParseInt(l, 10, 64)
	ri, rerr := strconv.ParseInt(r, 10, 64)
	if lerr == nil && rerr == nil {
		return cmp.Compare(li, ri)
	}
	lf, lerr := strconv.ParseFloat(l, 64)
	rf, rerr := strconv.ParseFloat(r, 64)
	if lerr == nil && rerr == nil {
		return cmp.Compare(lf, rf)
	}
	return strings.Compare(l, r)
}

// remember keeps what was made of the last text: the right side of a
// constraint is nearly always the same on every node.
func remember[T any](make func(string) (T, error)) func(string) (T, bool) {
	var text string
	var value T
	var ok, known bool
	return func(s string) (T, bool) {
		if !known || s != text {
			v, err := make(s)
			text, value, ok, known = s, v, err == nil, true
		}
		return value, ok
	}
}

func matchRegexp() func(l, r string) bool {
	compile := remember(func(pattern string) (*regexp.Regexp, error) {
		if _, err := structs.PatternSteps(pattern); err != nil {
			return nil, err
		}
		return regexp.Compile(pattern)
	})
	return func(l, r string) bool {
		re, ok := compile(r)
		return ok && len(l) <= structs.MaxMatched && re.MatchString(l)
	}
}

func matchVersion() func(l, r string) bool {
	parse := remember(version.NewConstraint)
	return func(l, r string) bool {
		want, ok := parse(r)
		if !ok {
			return false
		}
		v, err := version.NewVersion(strings.TrimSpace(l))
		return err == nil && want.Check(v)
	}
}

// bound is one part of a semver constraint, such as ">= 1.2.0-beta".
type bound struct {
	operand string
	version *version.Version
}

// matchSemver compares by the precedence of Semantic Versioning 2.0: a
// pre-release comes before its release and is compared like any other version,
// which the version operator doesn't do.
func matchSemver() func(l, r string) bool {
	parse := remember(parseBounds)
	return func(l, r string) bool {
		bounds, ok := parse(r)
		if !ok {
			return false
		}
		v, err := version.NewSemver(strings.TrimSpace(l))
		if err != nil {
			return false
		}
		return !slices.ContainsFunc(bounds, func(b bound) bool { return !b.holds(v) })
	}
}

func parseBounds(s string) ([]bound, error) {
	var out []bound
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		digits := strings.IndexAny(part, "v0123456789")
		if digits < 0 {
			digits = len(part)
		}
		v, err := version.NewSemver(part[digits:])
		if err != nil {
			return nil, err
		}
		out = append(out, bound{operand: strings.TrimSpace(part[:digits]), version: v})
	}
	return out, nil
}

func (b bound) holds(v *version.Version) bool {
	order := v.Compare(b.version)
	switch b.operand {
	case "", "=", "==":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	}
	return false
}

func containsAll(l, r string) bool {
	have := items(l)
	return !slices.ContainsFunc(items(r), func(want string) bool { return !slices.Contains(have, want) })
}

func containsAny(l, r string) bool {
	have := items(l)
	return slices.ContainsFunc(items(r), func(want string) bool { return slices.Contains(have, want) })
}

func items(list string) []string {
	out := strings.Split(list, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}
