package structs

import (
	"strings"

	version "github.com/hashicorp/go-version"
)

// validateConflicts finds constraints that no node can meet together. Values
// that only a node knows are not judged.
func (g *TaskGroup) validateConflicts(f faults, j *Job) {
	asked := newConflicts(f)
	asked.add(j.Constraints)
	asked.add(g.Constraints)
	for _, t := range g.Tasks {
		asked.add(t.Constraints)
	}
}

// conflicts remembers what was asked of each attribute.
type conflicts struct {
	f                  faults
	equal              map[string]string
	unequal            map[[2]string]bool
	present, forbidden map[string]bool
}

func newConflicts(f faults) *conflicts {
	return &conflicts{
		f: f, equal: map[string]string{}, unequal: map[[2]string]bool{},
		present: map[string]bool{}, forbidden: map[string]bool{},
	}
}

func (c *conflicts) add(list []*Constraint) {
	for _, asked := range list {
		if asked != nil && !strings.Contains(asked.RTarget, "${") {
			c.one(asked.LTarget, asked.Operand, asked.RTarget)
		}
	}
}

func (c *conflicts) one(attribute, operand, value string) {
	switch operand {
	case OpEqual, "==", "is", "":
		if other, known := c.equal[attribute]; known && other != value {
			c.f.add("no node can have both %q and %q as %s: remove one of the constraints", other, value, attribute)
		}
		c.equal[attribute] = value
		c.present[attribute] = true
	case "!=", "not":
		c.unequal[[2]string{attribute, value}] = true
	case OpAttributeNotSet, "attribute_is_not_set":
		c.forbidden[attribute] = true
	case OpAttributeSet, "attribute_is_set", "<", "<=", ">", ">=", OpRegexp, OpVersion, OpSemver,
		OpSetContains, OpSetContainsAll, OpSetContainsAny:
		c.present[attribute] = true
	default:
		return
	}
	if equal, known := c.equal[attribute]; known && c.unequal[[2]string{attribute, equal}] {
		c.f.add("no node can have %q as %s and not have it: remove one of the constraints", equal, attribute)
		delete(c.equal, attribute)
	}
	if c.present[attribute] && c.forbidden[attribute] {
		c.f.add("no node can have %s and not have it: remove one of the constraints", attribute)
		delete(c.forbidden, attribute)
	}
}

// validSemver reports whether a text is a list of bounds, such as
// ">= 1.2.0, < 2.0.0-beta".
func validSemver(value string) bool {
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		digits := strings.IndexAny(part, "v0123456789")
		if digits < 0 {
			return false
		}
		switch strings.TrimSpace(part[:digits]) {
		case "", "=", "==", "!=", "<", "<=", ">", ">=":
		default:
			return false
		}
		if _, err := version.NewSemver(part[digits:]); err != nil {
			return false
		}
	}
	return true
}
