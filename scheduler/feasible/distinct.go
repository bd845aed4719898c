package feasible

import (
	"strconv"

	"github.com/steppe-run/steppe/structs"
)

// Distinct limits how many allocations may share a value: of
// ${node.unique.id} for distinct_hosts, of an attribute for
// distinct_property.
type Distinct struct {
	// Attribute is what allocations share.
	Attribute string
	// Limit is how many may share one value.
	Limit int
	// WholeJob counts the allocations of every group of the job, not only
	// those of the group that is placed.
	WholeJob bool
	// Reason is what people read when the limit filters a node out.
	Reason string
}

// nodeItself is the attribute that only one node has.
const nodeItself = "${node.unique.id}"

// OncePerNode is the reason that keeps a second allocation of a system or sysbatch
// job off a node.
const OncePerNode = "once per node"

// PerNode reports whether the value is the node itself.
func (d *Distinct) PerNode() bool {
	return d.Reason == structs.OpDistinctHosts || d.Reason == OncePerNode
}

// Distincts returns the limits that apply to a group of a job.
func Distincts(job *structs.Job, group *structs.TaskGroup) []Distinct {
	var out []Distinct
	if structs.EveryNode(job.GetType()) {
		out = append(out, Distinct{Attribute: nodeItself, Limit: 1, Reason: OncePerNode})
	}
	for _, c := range job.Constraints {
		out = appendDistinct(out, c, true)
	}
	for _, c := range group.Constraints {
		out = appendDistinct(out, c, false)
	}
	return out
}

func isDistinct(c *structs.Constraint) bool {
	return c.Operand == structs.OpDistinctHosts || c.Operand == structs.OpDistinctProperty
}

func appendDistinct(out []Distinct, c *structs.Constraint, wholeJob bool) []Distinct {
	switch c.Operand {
	case structs.OpDistinctHosts:
		if on, err := strconv.ParseBool(c.RTarget); err == nil && !on {
			return out
		}
		return append(out, Distinct{
			Attribute: nodeItself, Limit: 1, WholeJob: wholeJob, Reason: structs.OpDistinctHosts,
		})
	case structs.OpDistinctProperty:
		limit := 1
		if n, err := strconv.Atoi(c.RTarget); err == nil && n > 0 {
			limit = n
		}
		return append(out, Distinct{
			Attribute: c.LTarget, Limit: limit, WholeJob: wholeJob, Reason: Text(c),
		})
	}
	return out
}
