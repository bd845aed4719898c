// Package drainer empties nodes that are being drained: service allocations
// move max_parallel at a time, the last healthy one of a group once its
// replacement is healthy too; batch ones may end by themselves, system ones stop
// last; at the deadline all that is left moves.
//
// It must not know clocks, the log or the scheduler: a Step takes a view and
// the time and returns what to propose. It has no memory: what it has begun is
// written on the allocations. Begin reading at Drainer.Step.
package drainer

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// View is what the drainer reads of the state.
type View interface {
	Nodes(prefix string) iter.Seq[*structs.Node]
	Node(id string) *structs.Node
	Job(namespace, id string) *structs.Job
	AllocsByNode(nodeID string) iter.Seq[*structs.Allocation]
	AllocsByJob(namespace, id string) iter.Seq[*structs.Allocation]
}

// maxTransitions bounds one command.
const maxTransitions = 1024

// Drainer decides what draining nodes give up next.
type Drainer struct{ newID func() string }

// New returns a drainer; newID makes identifiers of evaluations.
func New(newID func() string) *Drainer { return &Drainer{newID: newID} }

// Step returns what is to be proposed now, and when to look again even if
// nothing changes (zero: no need).
func (d *Drainer) Step(v View, now time.Time) (commands []command.Command, wake time.Time) {
	s := &step{v: v, now: now, newID: d.newID, groups: map[groupKey]bool{}, jobs: map[structs.NamespacedID]*structs.Allocation{}}
	for n := range v.Nodes("") {
		if n.DrainStrategy != nil {
			s.drain(n)
		}
	}
	return s.commands(), s.wake
}

type groupKey struct{ namespace, job, group string }

// step is one look at all draining nodes.
type step struct {
	v     View
	now   time.Time
	newID func() string

	groups map[groupKey]bool // looked at already
	moves  []command.AllocTransition
	// jobs need an evaluation; the value is one of their allocations.
	jobs map[structs.NamespacedID]*structs.Allocation
	done []*structs.Node
	wake time.Time
}

// drain sorts a node's allocations by what is to be done with them.
func (s *step) drain(n *structs.Node) {
	forced := s.forced(n)
	var system []*structs.Allocation
	left := 0
	for a := range s.v.AllocsByNode(n.ID) {
		if a.ClientTerminal() {
			continue
		}
		kind := jobType(a)
		if kind == structs.JobTypeSystem || kind == structs.JobTypeSysBatch {
			system = append(system, a)
			continue
		}
		left++
		switch {
		case forced && lasts(a):
			s.release(a)
		case !movable(a) && !lasts(a):
		case forced:
			s.migrate(a)
		case kind == structs.JobTypeService:
			s.group(a)
		}
	}
	switch {
	case left > 0:
	case len(system) == 0 || n.DrainStrategy.IgnoreSystemJobs:
		s.done = append(s.done, n)
	default:
		for _, a := range system {
			if movable(a) {
				s.migrate(a)
			}
		}
	}
}

// forced reports whether the node's deadline has passed, and else notes when
// it will.
func (s *step) forced(n *structs.Node) bool {
	if n.DrainStrategy.Forced(s.now) {
		return true
	}
	if by := n.DrainStrategy.ForceDeadline; !by.IsZero() {
		s.lookAgain(by)
	}
	return false
}

// group moves as many allocations of a's group as its migrate block allows. The
// last of them that serves waits until another one does, its replacement as a rule.
func (s *step) group(a *structs.Allocation) {
	key := groupKey{a.Namespace, a.JobID, a.TaskGroup}
	if s.groups[key] {
		return
	}
	s.groups[key] = true
	job := s.v.Job(a.Namespace, a.JobID)
	tg := job.LookupTaskGroup(a.TaskGroup)
	if job.Stopped() || tg == nil {
		return // the job's own evaluation stops it
	}
	parallel := 1
	if tg.Migrate != nil {
		parallel = max(1, structs.ValueOr(tg.Migrate.MaxParallel, 1))
	}
	g := s.sort(a, tg)
	spare := g.serving - (tg.GetCount() - parallel)
	if spare >= 0 && g.serving > 0 {
		s.release(g.waiting...)
	}
	if g.serving > tg.GetCount() { // some are to stop besides, and it isn't told yet which
		spare = parallel - g.moving
	}
	going := g.healthy[:clamp(spare, len(g.healthy))]
	if n := len(going); n > 0 && n == g.serving && tg.RunsTwice() {
		s.replaceFirst(going[n-1])
		going = going[:n-1]
	}
	s.migrate(going...)
	// What doesn't serve costs nothing to move, but not all at once either.
	s.migrate(g.unhealthy[:clamp(parallel-g.moving, len(g.unhealthy))]...)
}

// sorted is a group by what a drain may do with it.
type sorted struct {
	// serving counts the healthy ones that nobody has told to go, on all nodes; moving
	// those that go.
	serving, moving int
	// waiting are to go after their replacements; healthy and unhealthy are those on
	// draining nodes that nobody has told to go.
	waiting, healthy, unhealthy []*structs.Allocation
}

// sort looks at the whole group of an allocation.
func (s *step) sort(of *structs.Allocation, tg *structs.TaskGroup) (g sorted) {
	for a := range s.v.AllocsByJob(of.Namespace, of.JobID) {
		switch {
		case a.TaskGroup != of.TaskGroup || a.ClientTerminal():
			continue
		case lasts(a):
			g.waiting = append(g.waiting, a)
			continue
		case !movable(a), s.leaves(a):
			g.moving++
			continue
		}
		ok := !a.DeploymentStatus.IsCanary() && s.healthy(a, tg) // a canary goes when its deployment fails
		if ok {
			g.serving++
		}
		switch n := s.v.Node(a.NodeID); {
		case n == nil || n.DrainStrategy == nil:
		case ok:
			g.healthy = append(g.healthy, a)
		default:
			g.unhealthy = append(g.unhealthy, a)
		}
	}
	return g
}

// leaves reports whether an allocation's node gives up everything now.
func (s *step) leaves(a *structs.Allocation) bool {
	n := s.v.Node(a.NodeID)
	return n != nil && n.DrainStrategy != nil && s.forced(n)
}

// healthy reports whether an allocation counts as serving: it runs, as far as is
// known, and the client says that it is healthy, or it has run for min_healthy_time.
func (s *step) healthy(a *structs.Allocation, tg *structs.TaskGroup) bool {
	switch {
	case a.ClientStatus != structs.AllocClientRunning:
		return false
	case a.DeploymentStatus.HasHealth():
		return a.DeploymentStatus.IsHealthy()
	}
	settle := 10 * time.Second
	if tg.Migrate != nil {
		settle = structs.ValueOr(tg.Migrate.MinHealthyTime, settle)
	}
	var last time.Time
	for _, ts := range a.TaskStates {
		if ts.StartedAt.After(last) {
			last = ts.StartedAt
		}
	}
	at := last.Add(settle)
	if at.After(s.now) {
		s.lookAgain(at)
		return false
	}
	return true
}

func (s *step) migrate(allocs ...*structs.Allocation) {
	yes := true
	s.transit(structs.DesiredTransition{Migrate: &yes}, allocs...)
}

// replaceFirst has an allocation run until it is released.
func (s *step) replaceFirst(a *structs.Allocation) {
	yes := true
	s.transit(structs.DesiredTransition{Migrate: &yes, AfterReplacement: &yes}, a)
}

// release lets allocations go that waited for others.
func (s *step) release(allocs ...*structs.Allocation) {
	no := false
	s.transit(structs.DesiredTransition{AfterReplacement: &no}, allocs...)
}

func (s *step) transit(t structs.DesiredTransition, allocs ...*structs.Allocation) {
	for _, a := range allocs {
		s.moves = append(s.moves, command.AllocTransition{AllocID: a.ID, Transition: t})
		s.jobs[a.JobNamespacedID()] = a
	}
}

func (s *step) lookAgain(at time.Time) {
	if s.wake.IsZero() || at.Before(s.wake) {
		s.wake = at
	}
}

func (s *step) commands() []command.Command {
	var out []command.Command
	evals := s.evals()
	slices.SortFunc(s.moves, func(a, b command.AllocTransition) int { return cmp.Compare(a.AllocID, b.AllocID) })
	for len(s.moves) > 0 {
		n := min(len(s.moves), maxTransitions)
		c := &command.TransitionAllocs{Now: s.now.UnixNano(), Transitions: s.moves[:n]}
		if s.moves = s.moves[n:]; len(s.moves) == 0 {
			c.Evals = evals
		}
		out = append(out, c)
	}
	for _, n := range s.done {
		out = append(out, &command.SetNodeDrain{
			NodeID:          n.ID,
			Complete:        true,
			NodeModifyIndex: n.ModifyIndex,
			Event: &structs.NodeEvent{
				Message: "Node drain complete", Subsystem: structs.NodeEventDrain, Timestamp: s.now,
			},
			Now: s.now.UnixNano(),
		})
	}
	return out
}

func (s *step) evals() []*structs.Evaluation {
	var out []*structs.Evaluation
	for _, key := range slices.SortedFunc(maps.Keys(s.jobs), compareIDs) {
		a := s.jobs[key]
		e := &structs.Evaluation{
			ID:          s.newID(),
			Namespace:   key.Namespace,
			Priority:    structs.JobDefaultPriority,
			Type:        jobType(a),
			TriggeredBy: structs.TriggerNodeDrain,
			JobID:       key.ID,
			NodeID:      a.NodeID,
			Status:      structs.EvalStatusPending,
			CreateTime:  s.now.UnixNano(),
			ModifyTime:  s.now.UnixNano(),
		}
		if job := s.v.Job(key.Namespace, key.ID); job != nil {
			e.Priority = job.GetPriority()
		}
		out = append(out, e)
	}
	return out
}

// movable reports whether the allocation should run and was not told to move.
func movable(a *structs.Allocation) bool {
	return a.DesiredStatus == structs.AllocDesiredRun && !structs.Value(a.DesiredTransition.Migrate)
}

// lasts reports whether the allocation waits for its replacement.
func lasts(a *structs.Allocation) bool {
	return a.DesiredStatus == structs.AllocDesiredRun && a.DesiredTransition.Lasts()
}

func jobType(a *structs.Allocation) string {
	if a.Job == nil {
		return structs.JobTypeService
	}
	return a.Job.GetType()
}

func clamp(n, limit int) int { return max(0, min(n, limit)) }

func compareIDs(a, b structs.NamespacedID) int {
	switch {
	case a == b:
		return 0
	case a.Namespace < b.Namespace || a.Namespace == b.Namespace && a.ID < b.ID:
		return -1
	}
	return 1
}
