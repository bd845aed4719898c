package explain

import (
	"fmt"
	"iter"
	"slices"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// stage is a view on which things are tried: what is changed on it stands before
// what the view below holds, and is counted in the capacity index until clear.
type stage struct {
	View
	index *scheduler.Capacity
	node  *structs.Node // in the place of the one of its id
	was   *structs.Node
	// changed are allocations of the view below as they are now, by id; touched are
	// their nodes.
	changed map[string]*structs.Allocation
	touched map[string]bool
	added   []*structs.Allocation
	removed []*structs.Allocation // as they were counted
}

// newStage returns a stage on which a node is changed.
func newStage(view View, index *scheduler.Capacity, node *structs.Node) *stage {
	s := &stage{View: view, index: index, node: node, was: view.Node(node.ID), changed: map[string]*structs.Allocation{}, touched: map[string]bool{}}
	index.UpsertNode(node)
	return s
}

// clear makes the index count again what it did before the stage.
func (s *stage) clear() {
	for _, a := range s.removed {
		s.index.SetAlloc(a)
	}
	for _, a := range s.added {
		s.index.RemoveAlloc(a.ID)
	}
	s.index.UpsertNode(s.was)
}

// Node implements View.
func (s *stage) Node(id string) *structs.Node {
	if id == s.node.ID {
		return s.node
	}
	return s.View.Node(id)
}

// Nodes implements View.
func (s *stage) Nodes(prefix string) iter.Seq[*structs.Node] {
	return func(yield func(*structs.Node) bool) {
		for n := range s.View.Nodes(prefix) {
			if n.ID == s.node.ID {
				n = s.node
			}
			if !yield(n) {
				return
			}
		}
	}
}

// JobAllocs implements View. What is changed is never taken: it is seen whole.
func (s *stage) JobAllocs(namespace, id string, take func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	below := take
	if take != nil {
		below = func(p *structs.PlainAlloc) bool { return !s.touched[p.NodeID] && take(p) }
	}
	return s.over(s.View.JobAllocs(namespace, id, below), func(a *structs.Allocation) bool {
		return a.JobID == id && a.Namespace == namespace
	})
}

// AllocsByNode implements View.
func (s *stage) AllocsByNode(id string) iter.Seq[*structs.Allocation] {
	return s.over(s.View.AllocsByNode(id), func(a *structs.Allocation) bool { return a.NodeID == id })
}

// Alloc implements View.
func (s *stage) Alloc(id string) *structs.Allocation {
	if a := s.changed[id]; a != nil {
		return a
	}
	for _, a := range s.added {
		if a.ID == id {
			return a
		}
	}
	return s.View.Alloc(id)
}

// now is what an allocation has become.
func (s *stage) now(a *structs.Allocation) *structs.Allocation {
	if changed := s.changed[a.ID]; changed != nil {
		return changed
	}
	return a
}

func (s *stage) over(below iter.Seq[*structs.Allocation], is func(*structs.Allocation) bool) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for a := range below {
			if !yield(s.now(a)) {
				return
			}
		}
		for _, a := range s.added {
			if is(a) && !yield(s.now(a)) {
				return
			}
		}
	}
}

// change has an allocation be another from now on.
func (s *stage) change(a *structs.Allocation) {
	s.changed[a.ID], s.touched[a.NodeID] = a, true
}

// migrate tells an allocation to move, as a drain does: now, or after its
// replacement.
func (s *stage) migrate(id string, last bool) {
	a := *s.Alloc(id)
	yes := true
	a.DesiredTransition.Migrate, a.DesiredTransition.AfterReplacement = &yes, &last
	s.change(&a)
}

// stop ends an allocation, and gives back what it takes.
func (s *stage) stop(id string) {
	old := s.Alloc(id)
	if old == nil || old.TerminalStatus() {
		return
	}
	a := *old
	a.DesiredStatus, a.ClientStatus = structs.AllocDesiredStop, structs.AllocClientComplete
	s.change(&a)
	s.index.RemoveAlloc(id)
	s.removed = append(s.removed, old)
}

// commit carries out a plan: what it starts serves at once.
func (s *stage) commit(p *structs.Plan) {
	for i := range p.Stops {
		s.stop(p.Stops[i].AllocID)
	}
	for g := range p.Groups {
		group := &p.Groups[g]
		for r := range group.Rows {
			row := &group.Rows[r]
			for _, victim := range row.Preempts {
				s.stop(victim)
			}
			s.start(p, group, row)
		}
	}
}

func (s *stage) start(p *structs.Plan, g *structs.PlacementGroup, row *structs.Placement) {
	healthy := true
	a := &structs.Allocation{
		ID: fmt.Sprintf("rehearsed allocation %d", len(s.added)), Namespace: p.Namespace, JobID: p.JobID, TaskGroup: g.TaskGroup,
		Name: structs.AllocName(p.JobID, g.TaskGroup, row.NameIndex), NodeID: row.NodeID, Job: s.Job(p.Namespace, p.JobID),
		DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientRunning, AllocatedResources: taken(g, row),
		DeploymentID: g.DeploymentID, DeploymentStatus: &structs.AllocDeploymentStatus{Healthy: &healthy, Canary: row.Canary},
		PreviousAllocation: row.PreviousAllocation, RescheduleTracker: row.Reschedule,
	}
	if previous := s.Alloc(row.PreviousAllocation); previous != nil {
		if g.JobVersion != nil {
			a.Job = previous.Job
		}
		heir := *previous
		heir.NextAllocation = a.ID
		s.change(&heir)
	}
	s.added = append(s.added, a)
	s.index.SetAlloc(a)
}

// taken is what a row takes.
func taken(g *structs.PlacementGroup, row *structs.Placement) *structs.AllocatedResources {
	out := *g.Resources
	out.Shared.Ports = slices.Concat(g.Resources.Shared.Ports, row.Ports)
	if len(row.Devices)+len(row.Cores) > 0 {
		out.Tasks = make(map[string]*structs.AllocatedTaskResources, len(g.Resources.Tasks))
		for name, t := range g.Resources.Tasks {
			task := *t
			task.Devices, task.Cpu.ReservedCores = row.Devices[name], row.Cores[name]
			out.Tasks[name] = &task
		}
	}
	return &out
}
