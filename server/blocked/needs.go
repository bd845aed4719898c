package blocked

import (
	"maps"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// State reads from a snapshot what nodes have left.
type State struct{ *state.Snapshot }

// Room implements Rooms.
func (r State) Room(nodeID string) (Room, bool) {
	n := r.Node(nodeID)
	if n == nil || !n.Ready() {
		return Room{}, false
	}
	room := Room{Node: n, Total: n.Comparable()}
	room.Free = room.Total
	room.Free.Subtract(r.NodeUsage(nodeID))
	if len(n.HostNetworks) == 0 { // else a port may be free on another address
		room.PortFree = func(port int) bool { return !r.HostPortUsed(nodeID, port) }
	}
	return room, true
}

// wanting collects what a blocked evaluation waits for.
type wanting struct {
	snap *state.Snapshot
	job  *structs.Job
	// users are, by group, the nodes of the job's allocations that are not
	// terminal.
	users map[string]map[string]int
	// old is, by group and node, what an allocation of another version takes.
	old map[string]map[string]structs.Comparable
}

// NeedOf says what a blocked evaluation waits for: room for an allocation of
// any group that has unplaced ones, on a node that suits the group.
func NeedOf(snap *state.Snapshot, e *structs.Evaluation) Need {
	job := snap.Job(e.Namespace, e.JobID)
	if job == nil {
		return Need{Claims: []Claim{anything()}}
	}
	w := &wanting{snap: snap, job: job}
	w.count()
	var need Need
	for _, name := range slices.Sorted(maps.Keys(e.QueuedAllocations)) {
		if n := e.QueuedAllocations[name]; n > 0 {
			if g := job.LookupTaskGroup(name); g != nil {
				need.Claims = append(need.Claims, w.claim(g, n))
			}
		}
	}
	if len(need.Claims) > 0 {
		return need
	}
	// It doesn't say, so any group may be the one.
	for _, g := range job.TaskGroups {
		need.Claims = append(need.Claims, w.claim(g, 1))
	}
	return need
}

// anything is the claim of an evaluation of which nothing is known.
func anything() Claim {
	return Claim{Count: 1, Suits: func() func(*structs.Node) bool {
		return func(*structs.Node) bool { return true }
	}}
}

// count looks at the job's allocations.
func (w *wanting) count() {
	w.users = map[string]map[string]int{}
	w.old = map[string]map[string]structs.Comparable{}
	for v := range w.snap.AllocViewsByJob(w.job.GetNamespace(), w.job.GetID()) {
		row, shared := v.Row(), v.Shared()
		if row.Terminal() && !w.done(v) {
			continue
		}
		nodes := w.users[shared.Group]
		if nodes == nil {
			nodes = map[string]int{}
			w.users[shared.Group] = nodes
		}
		nodes[row.Node.ID]++
		if shared.Job.GetVersion() == w.job.GetVersion() {
			continue
		}
		olds := w.old[shared.Group]
		if olds == nil {
			olds = map[string]structs.Comparable{}
			w.old[shared.Group] = olds
		}
		olds[row.Node.ID] = most(olds[row.Node.ID], shared.Ask)
	}
}

// done reports whether an allocation that ended keeps others of its job off its
// node: a sysbatch job runs there once.
func (w *wanting) done(v alloc.View) bool {
	return w.job.GetType() == structs.JobTypeSysBatch && v.Row().Desired == alloc.Run &&
		v.Shared().Job.GetVersion() == w.job.GetVersion()
}

func most(a, b structs.Comparable) structs.Comparable {
	return structs.Comparable{CPU: max(a.CPU, b.CPU), MemoryMB: max(a.MemoryMB, b.MemoryMB), DiskMB: max(a.DiskMB, b.DiskMB)}
}

// claim is what n allocations of a group wait for.
func (w *wanting) claim(g *structs.TaskGroup, n int) Claim {
	pool, datacenters := feasible.Place(w.job)
	checks := append([]feasible.Check{pool, datacenters}, feasible.Checks(w.job, g)...)
	c := Claim{
		Pin:      pinOf(feasible.Constraints(w.job, g)),
		Ask:      g.AllocatedResources().Comparable(),
		Count:    n,
		Ports:    staticPorts(g),
		Preempts: preempts(w.snap, w.job),
		Replaces: w.old[g.GetName()],
		Suits:    func() func(*structs.Node) bool { return all(checks) },
	}
	c.Key = string(feasible.AppendKey(nil, w.job, g))
	for i := range checks {
		c.Unique = c.Unique || checks[i].Unique
	}
	w.distinct(g, &c)
	if structs.EveryNode(w.job.GetType()) {
		w.once(g, &c)
	}
	return c
}

func all(checks []feasible.Check) func(*structs.Node) bool {
	judges := make([]func(*structs.Node) bool, len(checks))
	for i := range checks {
		judges[i] = checks[i].Make()
	}
	return func(n *structs.Node) bool {
		for _, suits := range judges {
			if !suits(n) {
				return false
			}
		}
		return true
	}
}

// distinct says which nodes the job's own allocations rule out.
func (w *wanting) distinct(g *structs.TaskGroup, c *Claim) {
	var rules []func(*structs.Node) bool
	for _, d := range feasible.Distincts(w.job, g) {
		c.Once = c.Once || d.Limit == 1
		used := map[string]int{}
		for name, nodes := range w.users {
			if name != g.GetName() && !d.WholeJob {
				continue
			}
			for id, n := range nodes {
				if node := w.snap.Node(id); node != nil {
					value, _ := feasible.Value(d.Attribute, node)
					used[value] += n
				}
			}
		}
		rules = append(rules, func(n *structs.Node) bool {
			value, ok := feasible.Value(d.Attribute, n)
			return !ok || used[value] >= d.Limit
		})
	}
	if len(rules) == 0 || len(c.Replaces) > 0 {
		return // what it replaces may free the value that it needs
	}
	c.Taken = func(n *structs.Node) bool {
		return slices.ContainsFunc(rules, func(taken func(*structs.Node) bool) bool { return taken(n) })
	}
}

// once says which nodes have what a job runs once on every node: one of the newest
// version, or any while the older ones can't be told from it.
func (w *wanting) once(g *structs.TaskGroup, c *Claim) {
	others, have, old := c.Taken, w.users[g.GetName()], w.old[g.GetName()]
	c.Once = true
	c.Taken = func(n *structs.Node) bool {
		_, replaces := old[n.ID]
		return have[n.ID] > 0 && !replaces || others != nil && others(n)
	}
}

// pinOf returns a condition of the form "this attribute has this value": most
// of what people pin a job with.
func pinOf(constraints []*structs.Constraint) (pin Pin) {
	for _, c := range constraints {
		switch c.Operand {
		case structs.OpEqual, "==", "is":
		default:
			continue
		}
		whole := strings.HasPrefix(c.LTarget, "${") && strings.Count(c.LTarget, "${") == 1 && strings.HasSuffix(c.LTarget, "}")
		if !whole || strings.Contains(c.RTarget, "${") {
			continue
		}
		if pin.Attribute == "" || feasible.Unique(c.LTarget) {
			pin = Pin{Attribute: c.LTarget, Value: c.RTarget}
		}
	}
	return pin
}

// staticPorts are the host ports on the default address that each allocation
// of a group needs for itself.
func staticPorts(g *structs.TaskGroup) []int {
	var out []int
	add := func(networks []*structs.NetworkResource) {
		for _, n := range networks {
			for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
				if p.Value > 0 && !p.IgnoreCollision && (p.HostNetwork == "" || p.HostNetwork == structs.HostNetworkName) {
					out = append(out, p.Value)
				}
			}
		}
	}
	add(g.Networks)
	for _, t := range g.Tasks {
		if t.Resources != nil {
			add(t.Resources.Networks)
		}
	}
	slices.Sort(out)
	return out
}

// preempts reports whether a job may make room for itself, so that free room
// says little about whether it fits.
func preempts(snap *state.Snapshot, job *structs.Job) bool {
	cfg := snap.SchedulerConfig()
	switch job.GetType() {
	case structs.JobTypeService:
		return cfg.PreemptionConfig.ServiceSchedulerEnabled
	case structs.JobTypeBatch:
		return cfg.PreemptionConfig.BatchSchedulerEnabled
	case structs.JobTypeSystem:
		return cfg.PreemptionConfig.SystemSchedulerEnabled
	case structs.JobTypeSysBatch:
		return cfg.PreemptionConfig.SysBatchSchedulerEnabled
	}
	return true
}
