package feasible

import (
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// Check is one condition on nodes.
type Check struct {
	// Name identifies the condition: equal names mean equal judgements.
	Name string
	// Reason is what people read when the condition filters a node out.
	Reason string
	// Unique is set when nodes of one computed class may be judged differently.
	Unique bool
	// Make prepares the judgement.
	Make func() func(*structs.Node) bool
	// Cost is about how many steps the judgement of a node takes, nil where that
	// is not worth counting.
	Cost func(*structs.Node) int
	// Wanted says in words what the condition asks for, Actual what a node
	// has of it.
	Wanted string
	Actual func(*structs.Node) string
}

// Place returns the conditions that say which nodes are asked at all: the
// job's node pool and its datacenters.
func Place(job *structs.Job) (pool, datacenters Check) {
	return Pool(job.GetNodePool()), Datacenters(job.Datacenters)
}

// Pool asks that a node is in a pool.
func Pool(name string) Check {
	return Check{
		Name:   "pool:" + name,
		Reason: "node pool " + name,
		Wanted: name,
		Actual: func(n *structs.Node) string { return n.NodePool },
		Make: func() func(*structs.Node) bool {
			return func(n *structs.Node) bool { return n.InPool(name) }
		},
	}
}

// Datacenters asks that a node is in a datacenter that one of the patterns
// matches; * stands for any text. No pattern means any datacenter.
func Datacenters(patterns []string) Check {
	return Check{
		Name:   string(appendTexts([]byte("dc:"), patterns)),
		Reason: "datacenter " + strings.Join(patterns, ", "),
		Wanted: strings.Join(patterns, ", "),
		Actual: func(n *structs.Node) string { return n.Datacenter },
		Make: func() func(*structs.Node) bool {
			return func(n *structs.Node) bool { return n.InDatacenters(patterns) }
		},
	}
}

// Checks returns the conditions that a group of a job has on nodes, in the
// order in which they filter: constraints, drivers, devices, cores,
// volumes, network.
func Checks(job *structs.Job, group *structs.TaskGroup) []Check {
	var out []Check
	for _, c := range Constraints(job, group) {
		if !isDistinct(c) {
			out = append(out, constraint(c))
		}
	}
	out = append(out, drivers(group)...)
	out = append(out, devices(group)...)
	out = append(out, cores(group)...)
	out = append(out, volumes(group)...)
	return append(out, networks(group)...)
}

// Constraints returns the constraints of a group, of its job and of its tasks.
func Constraints(job *structs.Job, group *structs.TaskGroup) []*structs.Constraint {
	out := slices.Concat(job.Constraints, group.Constraints)
	for _, t := range group.Tasks {
		out = append(out, t.Constraints...)
	}
	return out
}

// Text is how people read a constraint.
func Text(c *structs.Constraint) string {
	switch {
	case c.LTarget == "" && c.RTarget == "":
		return c.Operand
	case c.RTarget == "":
		return c.LTarget + " " + c.Operand
	}
	return fmt.Sprintf("%s %s %s", c.LTarget, c.Operand, c.RTarget)
}

func constraint(c *structs.Constraint) Check {
	return Check{
		Name:   string(appendConstraint([]byte("c:"), c)),
		Reason: Text(c),
		Unique: Unique(c.LTarget) || Unique(c.RTarget),
		Wanted: wanted(c),
		Actual: func(n *structs.Node) string { return actual(c, n) },
		Make:   func() func(*structs.Node) bool { return comparison(c.LTarget, c.Operand, c.RTarget) },
	}
}

// Costly returns those conditions of a group, its affinities included, whose
// judgement may take long: regular expressions.
func Costly(job *structs.Job, group *structs.TaskGroup) []Check {
	var out []Check
	add := func(constraints []*structs.Constraint, affinities []*structs.Affinity) {
		for _, c := range constraints {
			if c.Operand == structs.OpRegexp {
				out = append(out, costly(c))
			}
		}
		for _, a := range affinities {
			if a.Operand == structs.OpRegexp {
				out = append(out, costly(&structs.Constraint{LTarget: a.LTarget, Operand: a.Operand, RTarget: a.RTarget}))
			}
		}
	}
	add(job.Constraints, job.Affinities)
	add(group.Constraints, group.Affinities)
	for _, t := range group.Tasks {
		add(t.Constraints, t.Affinities)
	}
	return out
}

func costly(c *structs.Constraint) Check {
	check := constraint(c)
	steps := structs.MaxPatternSteps // if only the node knows the expression
	if n, err := structs.PatternSteps(c.RTarget); err == nil && !strings.Contains(c.RTarget, "${") {
		steps = n
	}
	check.Cost = func(n *structs.Node) int {
		text, _ := Value(c.LTarget, n)
		return overhead + (1+len(text))*(1+steps)
	}
	return check
}

// overhead is what the judgement of a node takes anyway, in steps.
const overhead = 50

// Affinity is the condition that an affinity prefers.
func Affinity(a *structs.Affinity) Check {
	return constraint(&structs.Constraint{LTarget: a.LTarget, Operand: a.Operand, RTarget: a.RTarget})
}

// comparison judges by one operator. An operator that doesn't exist is refused
// when the job is registered; here it is satisfied by no node.
func comparison(l, operand, r string) func(*structs.Node) bool {
	holds := operator(operand)
	if holds == nil {
		return func(*structs.Node) bool { return false }
	}
	return func(n *structs.Node) bool {
		lv, lok := Value(l, n)
		rv, rok := Value(r, n)
		return holds(lv, lok, rv, rok)
	}
}
