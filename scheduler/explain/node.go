package explain

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/structs"
)

// WhyNot says of each group of a job what keeps one more allocation of it off
// a node, or how well it would fit there.
func WhyNot(in Input, node *structs.Node, job *structs.Job) *structs.NodeWhyNot {
	w := &structs.NodeWhyNot{NodeID: node.ID, NodeName: node.Name, JobID: job.GetID(), Namespace: job.GetNamespace()}
	for _, g := range job.TaskGroups {
		w.Groups = append(w.Groups, in.groupOn(node, job, g))
	}
	w.Summary = nodeSummary(w)
	return w
}

func (in *Input) groupOn(node *structs.Node, job *structs.Job, g *structs.TaskGroup) *structs.GroupOnNode {
	s := in.look(job, in.study(job, g))
	on := &structs.GroupOnNode{Group: g.GetName(), Fitting: s.Fitting, Rank: s.rank(node.ID)}
	for a := range in.View.AllocsByNode(node.ID) {
		if a.JobID == job.GetID() && a.Namespace == job.GetNamespace() && a.TaskGroup == g.GetName() && !a.TerminalStatus() {
			on.Running = append(on.Running, a.Name)
		}
	}
	o := in.obstacles(s.study, node, job)
	on.Conditions, on.Shortages, on.Ports = o.conditions, o.shortages, o.ports
	on.Fits = on.Rank > 0
	if len(o.conditions) == 0 {
		for _, a := range s.study.Room(node.ID) {
			on.Preempts = append(on.Preempts, &structs.PreemptedAlloc{AllocID: a.ID, Name: a.Name, Namespace: a.Namespace, JobID: a.JobID, Priority: a.Job.GetPriority()})
		}
		slices.SortFunc(on.Preempts, func(a, b *structs.PreemptedAlloc) int {
			return cmp.Or(a.Priority-b.Priority, compareNames(a.Name, b.Name))
		})
	}
	if on.Fits {
		on.Score = s.score(&s.fitting[on.Rank-1])
	}
	if s.Fitting > 0 {
		on.Best = s.Best[0]
	}
	on.Summary = onNodeSummary(on, node)
	return on
}

// obstacles are all that keeps a row off a node.
type obstacles struct {
	conditions []*structs.FailedCondition
	shortages  []*structs.Shortage
	ports      []*structs.PortCollision
}

func (in *Input) obstacles(study *place.Study, node *structs.Node, job *structs.Job) obstacles {
	o := obstacles{shortages: study.Shortages(node.ID)}
	if state := feasible.State(node); state != "" {
		o.conditions = append(o.conditions, &structs.FailedCondition{
			Condition: takesPlacements, Wanted: "ready and eligible", Actual: state,
		})
	}
	pool, datacenters := feasible.Place(job)
	for _, c := range append([]feasible.Check{pool, datacenters}, study.Checks()...) {
		if !c.Make()(node) {
			o.conditions = append(o.conditions, c.Failed(node))
		}
	}
	for _, l := range study.Limits(node.ID) {
		o.conditions = append(o.conditions, limitFailed(&l))
	}
	for _, c := range study.Collisions(node.ID) {
		o.ports = append(o.ports, in.collision(node, &c))
	}
	return o
}

// takesPlacements is the condition that a node is ready, eligible and not
// draining.
const takesPlacements = "node takes placements"

func limitFailed(l *place.Reached) *structs.FailedCondition {
	f := &structs.FailedCondition{Condition: l.Reason, Wanted: "at most " + count(l.Limit, "allocation") + " of the "}
	if l.WholeJob {
		f.Wanted += "job"
	} else {
		f.Wanted += "group"
	}
	switch {
	case l.PerNode():
		f.Wanted += " a node"
		f.Actual = fmt.Sprintf("%d there already", l.Used)
	case !l.Known:
		f.Wanted += " a value"
		f.Actual = l.Attribute + " is not set"
	default:
		f.Wanted += " a value"
		f.Actual = fmt.Sprintf("%d with %q already", l.Used, l.Value)
	}
	return f
}

// collision says who has a port.
func (in *Input) collision(node *structs.Node, c *place.Collision) *structs.PortCollision {
	out := &structs.PortCollision{Label: c.Label, Port: c.Value, HostNetwork: c.HostNetwork, HostIP: c.IP, Reserved: c.Reserved, NoHostNetwork: c.NoNetwork}
	if c.Reserved || c.NoNetwork {
		return out
	}
	for a := range in.View.AllocsByNode(node.ID) {
		if !a.TerminalStatus() && in.holds(a.ID, node.ID, c) {
			out.AllocID, out.AllocName, out.JobID = a.ID, a.Name, a.JobID
			return out
		}
	}
	return out
}

func (in *Input) holds(allocID, nodeID string, c *place.Collision) bool {
	i, known := in.Capacity.Number(nodeID)
	if !known {
		return false
	}
	return slices.ContainsFunc(in.Capacity.AllocPorts(allocID), func(h capacity.Held) bool {
		return int(h.Port) == c.Value && (h.IP == c.IP || h.IP == "" && c.IP == in.Capacity.Ports(i).Default())
	})
}
