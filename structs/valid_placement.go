package structs

import (
	"slices"
	"strconv"
	"strings"

	version "github.com/hashicorp/go-version"
)

func validateConstraints(f faults, list []*Constraint, distinct bool) {
	for i, c := range list {
		c.validate(f.in("constraint %d", i+1), distinct)
	}
}

// Operands that constraints know; affinities know those that compare.
func compareOperands() []string {
	return []string{
		OpEqual, "==", "is", "!=", "not", ">", ">=", "<", "<=", OpRegexp, OpSetContains,
		OpSetContainsAll, OpSetContainsAny, OpVersion, OpSemver,
	}
}

func constraintOperands() []string {
	return append(compareOperands(), OpDistinctHosts, OpDistinctProperty,
		OpAttributeSet, "attribute_is_set", OpAttributeNotSet, "attribute_is_not_set")
}

func (c *Constraint) validate(f faults, distinct bool) {
	if !slices.Contains(constraintOperands(), c.Operand) {
		f.in("operator").add("%s", wantOneOf(c.Operand, constraintOperands()))
		return
	}
	validateInterpolation(f.in("attribute"), c.LTarget)
	validateInterpolation(f.in("value"), c.RTarget)
	switch c.Operand {
	case OpDistinctHosts:
		f.check(distinct, "distinct_hosts belongs to the group or the job, not to a task")
		return
	case OpDistinctProperty:
		f.check(distinct, "distinct_property belongs to the group or the job, not to a task")
		if c.RTarget != "" {
			n, err := strconv.ParseUint(c.RTarget, 10, 32)
			f.in("value").check(err == nil && n > 0, "must be how many may share a value, 1 or more, is %q", c.RTarget)
		}
	case OpAttributeSet, OpAttributeNotSet, "attribute_is_set", "attribute_is_not_set":
		f.in("value").check(c.RTarget == "", "%s takes no value", c.Operand)
	default:
		validateOperand(f, c.Operand, c.RTarget)
	}
	f.check(c.LTarget != "", "set attribute, such as ${attr.kernel.name}")
}

func validateOperand(f faults, operand, value string) {
	in := f.in("value")
	if value == "" {
		in.check(!needsValue(operand), "the operator %s needs a value", operand)
		return
	}
	if strings.Contains(value, "${") {
		return // known on the node only
	}
	switch operand {
	case OpRegexp:
		if _, err := PatternSteps(value); err != nil {
			in.add("%v", err)
		}
	case OpSemver:
		in.check(validSemver(value), "not a version constraint, such as >= 1.2.0: %q", value)
	case OpVersion:
		_, err := version.NewConstraint(value)
		in.check(err == nil, "not a version constraint, such as >= 1.2: %q", value)
	}
}

func needsValue(operand string) bool {
	switch operand {
	case OpEqual, "==", "is", "!=", "not":
		return false // compares with the empty text
	}
	return true
}

// validateInterpolation finds a ${ that nothing closes.
func validateInterpolation(f faults, s string) {
	for rest := s; ; {
		_, after, found := strings.Cut(rest, "${")
		if !found {
			return
		}
		inner, tail, closed := strings.Cut(after, "}")
		if !closed || strings.TrimSpace(inner) == "" {
			f.add("%q is not an attribute: write ${attr.kernel.name}, ${meta.key} or ${node.class}", s)
			return
		}
		rest = tail
	}
}

func (a *Affinity) validate(f faults) {
	if !slices.Contains(compareOperands(), a.Operand) {
		f.in("operator").add("%s", wantOneOf(a.Operand, compareOperands()))
		return
	}
	f.check(a.LTarget != "", "set attribute, such as ${attr.kernel.name}")
	validateInterpolation(f.in("attribute"), a.LTarget)
	validateInterpolation(f.in("value"), a.RTarget)
	validateOperand(f, a.Operand, a.RTarget)
	w := Value(a.Weight)
	f.in("weight").check(w >= -100 && w <= 100 && w != 0, "must be from -100 to 100 and not 0, is %d", w)
}

func (s *Spread) validate(f faults) {
	f.check(s.Attribute != "", "set attribute, such as ${node.datacenter}")
	validateInterpolation(f.in("attribute"), s.Attribute)
	w := Value(s.Weight)
	f.in("weight").check(w >= 1 && w <= 100, "must be from 1 to 100, is %d", w)
	sum, seen := 0, map[string]bool{}
	for _, t := range s.SpreadTarget {
		in := f.in("target %q", t.Value)
		in.check(t.Value != "", "needs a value as its label")
		in.check(!seen[t.Value], "is there twice")
		in.check(t.Percent <= 100, "percent must be from 0 to 100, is %d", t.Percent)
		seen[t.Value] = true
		sum += int(t.Percent)
	}
	f.check(sum <= 100, "the targets' percentages add up to %d, more than 100", sum)
}
