package structs

import (
	"fmt"
	"regexp/syntax"
)

// Bounds of regular expressions in constraints: each is run against an
// attribute of every node, a step for each character and each place in the
// expression where it may be.
const (
	// MaxPattern is how long an expression may be.
	MaxPattern = 4096
	// MaxPatternSteps is how many places it may have, see PatternSteps.
	MaxPatternSteps = 256
	// MaxPatterns is how many expressions a job may have.
	MaxPatterns = 256
	// MaxMatched is how long a value may be that is held against one. A longer one
	// doesn't match.
	MaxMatched = 4096
)

// Patterns counts the regular expressions of the job's constraints and affinities.
func (j *Job) Patterns() int {
	n := 0
	count := func(constraints []*Constraint, affinities []*Affinity) {
		for _, c := range constraints {
			if c != nil && c.Operand == OpRegexp {
				n++
			}
		}
		for _, a := range affinities {
			if a != nil && a.Operand == OpRegexp {
				n++
			}
		}
	}
	count(j.Constraints, j.Affinities)
	for _, g := range j.TaskGroups {
		count(g.Constraints, g.Affinities)
		for _, t := range g.Tasks {
			count(t.Constraints, t.Affinities)
		}
	}
	return n
}

// PatternSteps is about how many places a regular expression has, its
// repetitions written out: what it takes for each character of a text at most.
func PatternSteps(pattern string) (int, error) {
	if len(pattern) > MaxPattern {
		return 0, fmt.Errorf("the expression is %d characters long, more than the limit of %d", len(pattern), MaxPattern)
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("not a regular expression: %w", err)
	}
	steps := steps(re)
	if steps > MaxPatternSteps {
		return 0, fmt.Errorf("the expression, its repetitions written out, has %d parts, more than the limit of %d", steps, MaxPatternSteps)
	}
	return steps, nil
}

// steps counts no further than it has to.
func steps(re *syntax.Regexp) int {
	n := 0
	for _, sub := range re.Sub {
		n = min(n+1+steps(sub), MaxPattern)
	}
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpRepeat:
		n = min(n*max(re.Min, re.Max, 1), MaxPattern)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = 1
	}
	return n
}
