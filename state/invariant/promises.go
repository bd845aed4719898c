package invariant

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// memory is what a watch remembers beyond one step.
type memory struct {
	// launched are the launches that were made, by the child's name and the index at
	// which its parent was registered.
	launched map[launch]bool
	// passed counts by evaluation how often one of lower priority went before it.
	passed map[string]int
}

type launch struct {
	child  structs.NamespacedID
	parent uint64
}

func newMemory() *memory { return &memory{launched: map[launch]bool{}, passed: map[string]int{}} }

// newChildren are the jobs that the entry made from others.
func newChildren(s *Step) []*structs.Job {
	var out []*structs.Job
	for i := range s.Change.Events {
		ev := &s.Change.Events[i]
		if ev.Table() != feed.TableJobs {
			continue
		}
		job, _ := ev.New().(*structs.Job)
		if job != nil && job.GetParentID() != "" && s.Before.Job(job.GetNamespace(), job.GetID()) == nil {
			out = append(out, job)
		}
	}
	return out
}

// launchOnce looks at launches on their schedule, which settle their instant;
// those that a user asks for settle none. An instant that was launched is
// remembered, also when the job that it made was swept.
func launchOnce(s *Step) []string {
	var out []string
	for _, child := range newChildren(s) {
		ns, parentID := child.GetNamespace(), child.GetParentID()
		parent := s.After.Job(ns, parentID)
		instant, periodic := instantOf(child)
		if !periodic || parent == nil || !parent.IsPeriodic() || s.After.LaunchedUntil(ns, parentID) != instant {
			continue
		}
		key := launch{child.NamespacedID(), parent.GetCreateIndex()}
		if s.memory.launched[key] {
			out = append(out, fmt.Sprintf("job %s is launched again for %s", parentID, time.Unix(instant, 0).UTC().Format(time.RFC3339)))
		}
		s.memory.launched[key] = true
	}
	for _, key := range s.jobs {
		old, fresh := s.Before.Job(key.Namespace, key.ID), s.After.Job(key.Namespace, key.ID)
		was, is := s.Before.LaunchedUntil(key.Namespace, key.ID), s.After.LaunchedUntil(key.Namespace, key.ID)
		if old != nil && fresh != nil && old.GetCreateIndex() == fresh.GetCreateIndex() && is < was {
			out = append(out, fmt.Sprintf("the launches of job %s are settled until %d, and were until %d", key.ID, is, was))
		}
	}
	return out
}

// instantOf is when a launched job was due, by its name.
func instantOf(child *structs.Job) (int64, bool) {
	name := strings.TrimPrefix(child.GetID(), child.GetParentID()+"/periodic-")
	at, err := strconv.ParseInt(name, 10, 64)
	return at, err == nil
}

func dispatchOnce(s *Step) []string {
	var out []string
	for _, child := range newChildren(s) {
		token := structs.Value(child.DispatchIdempotencyToken)
		if token == "" {
			continue
		}
		for other := range s.After.JobChildren(child.GetNamespace(), child.GetParentID()) {
			if other.GetID() != child.GetID() && structs.Value(other.DispatchIdempotencyToken) == token {
				out = append(out, fmt.Sprintf("token %q of job %s has dispatched %s and %s", token, child.GetParentID(), other.GetID(), child.GetID()))
			}
		}
	}
	return out
}

// migrating looks at what a drain asks to leave. Where canaries stand beside the
// others more may leave, as long as enough stay. A drain that is forced, or whose
// deadline has passed, asks for everything.
func migrating(s *Step) []string {
	marked := drains(s)
	if len(marked) == 0 {
		return nil
	}
	var out []string
	for _, key := range s.jobs {
		job := s.After.Job(key.Namespace, key.ID)
		if job == nil || job.GetType() != structs.JobTypeService {
			continue
		}
		groups := leaving(s, key, marked)
		for _, g := range job.TaskGroups {
			most := 1
			if g.Migrate != nil && g.Migrate.MaxParallel != nil {
				most = *g.Migrate.MaxParallel
			}
			now := groups[g.GetName()]
			if now.leave > max(most, 1) && now.more && now.stay < g.GetCount()-most {
				out = append(out, fmt.Sprintf("%d allocations of group %s of job %s are to leave at once, max_parallel of migrate is %d",
					now.leave, g.GetName(), key.ID, most))
			}
		}
	}
	return out
}

// exodus is what a drain does to a group: how many leave, how many stay, and
// whether the entry has more of them leave.
type exodus struct {
	leave, stay int
	more        bool
}

// leaving counts by group what leaves draining nodes that have time left.
func leaving(s *Step, key structs.NamespacedID, marked map[string]bool) map[string]exodus {
	out := map[string]exodus{}
	for _, a := range s.live(s.After, key) {
		now := out[a.TaskGroup]
		if structs.Value(a.DesiredTransition.Migrate) && patient(s, a) {
			now.leave++
			now.more = now.more || marked[a.ID]
		} else {
			now.stay++
		}
		out[a.TaskGroup] = now
	}
	return out
}

// drains are the allocations that the entry has leave draining nodes.
func drains(s *Step) map[string]bool {
	marked := map[string]bool{}
	for _, p := range s.allocs {
		if p.old != nil && p.fresh != nil && !structs.Value(p.old.DesiredTransition.Migrate) && structs.Value(p.fresh.DesiredTransition.Migrate) {
			marked[p.fresh.ID] = true
		}
	}
	if len(marked) == 0 || !byDrain(s) {
		return nil
	}
	return marked
}

// byDrain reports whether the entry is a drain's.
func byDrain(s *Step) bool {
	for i := range s.Change.Events {
		ev := &s.Change.Events[i]
		if ev.Table() != feed.TableEvals {
			continue
		}
		if e, _ := ev.New().(*structs.Evaluation); e != nil && e.TriggeredBy == structs.TriggerNodeDrain {
			return true
		}
	}
	return false
}

// lastLeaves looks at what a drain lets go at once, and at what a plan stops of those
// that wait for their replacement.
func lastLeaves(s *Step) []string {
	var out []string
	for _, p := range s.allocs {
		if p.old == nil || p.fresh == nil || !letGo(s, p) && !cutShort(p) || !patient(s, p.fresh) || canary(s.After, p.fresh) ||
			p.fresh.ClientStatus != structs.AllocClientRunning || !p.fresh.DeploymentStatus.IsHealthy() {
			continue
		}
		job := s.After.Job(p.fresh.Namespace, p.fresh.JobID)
		g := job.LookupTaskGroup(p.fresh.TaskGroup)
		if g == nil || g.GetCount() == 0 || job.Stopped() || job.GetType() != structs.JobTypeService || !g.RunsTwice() {
			continue
		}
		if !served(s, p.fresh) {
			out = append(out, fmt.Sprintf("%s (%s) is to leave its node, and no other of its group is healthy", p.fresh.Name, p.fresh.ID))
		}
	}
	return out
}

// letGo reports whether a drain tells an allocation to go.
func letGo(s *Step, p pair) bool { return goesNow(p.fresh) && !goesNow(p.old) && byDrain(s) }

// cutShort reports whether an allocation that waits for its replacement is stopped,
// not for another job's sake.
func cutShort(p pair) bool {
	return p.old.DesiredTransition.Lasts() && !p.old.ServerTerminal() && p.fresh.DesiredStatus == structs.AllocDesiredStop
}

// goesNow reports whether an allocation was told to move and waits for nothing.
func goesNow(a *structs.Allocation) bool {
	return structs.Value(a.DesiredTransition.Migrate) && !a.DesiredTransition.Lasts()
}

// served reports whether another allocation of the group does its work, or did
// until a moment ago: who decided couldn't know that it ended.
func served(s *Step, leaves *structs.Allocation) bool {
	for a := range s.After.AllocsByJob(leaves.Namespace, leaves.JobID) {
		healthy := a.DeploymentStatus.IsHealthy() || !a.DeploymentStatus.HasHealth()
		if a.ID == leaves.ID || a.TaskGroup != leaves.TaskGroup || !healthy || goesNow(a) || canary(s.After, a) {
			continue
		}
		justNow := a.ModifyTime <= leaves.ModifyTime && leaves.ModifyTime-a.ModifyTime < int64(time.Second)
		if justNow || a.ClientStatus == structs.AllocClientRunning && !a.TerminalStatus() {
			return true
		}
	}
	return false
}

// patient reports whether an allocation is on a node whose drain has time left, and
// hasn't just been given it: who decided couldn't know.
func patient(s *Step, a *structs.Allocation) bool {
	n := s.After.Node(a.NodeID)
	if n == nil || n.DrainStrategy == nil || n.DrainStrategy.Deadline < 0 {
		return false
	}
	by, now := n.DrainStrategy.ForceDeadline, time.Unix(0, a.ModifyTime)
	given := by.Add(-n.DrainStrategy.Deadline)
	if !by.IsZero() && given.Sub(n.DrainStrategy.StartedAt) > time.Second && now.Sub(given).Abs() < time.Second {
		return false
	}
	return by.IsZero() || by.After(now)
}

// healthyStops looks at how much an update takes away in one step; what it has
// replaced before is the matter of maxParallel.
func healthyStops(s *Step) []string {
	stops := map[structs.NamespacedID]map[string]int{}
	seen := map[string]bool{} // an entry may tell of an allocation more than once
	for _, p := range s.allocs {
		if p.old == nil || p.fresh == nil || p.old.TerminalStatus() || !p.fresh.ServerTerminal() ||
			p.fresh.DesiredDescription != structs.DescAllocUpdating || !p.old.DeploymentStatus.IsHealthy() {
			continue
		}
		if seen[p.fresh.ID] {
			continue
		}
		seen[p.fresh.ID] = true
		key := p.fresh.JobNamespacedID()
		if stops[key] == nil {
			stops[key] = map[string]int{}
		}
		stops[key][p.fresh.TaskGroup]++
	}
	var out []string
	for _, key := range s.jobs {
		job := s.After.Job(key.Namespace, key.ID)
		for name, n := range stops[key] {
			g := job.LookupTaskGroup(name)
			if g == nil || g.Update == nil || job.GetType() != structs.JobTypeService {
				continue
			}
			if most := structs.Value(g.Update.MaxParallel); most > 0 && n > most {
				out = append(out, fmt.Sprintf("an update stops %d healthy allocations of group %s of job %s at once, max_parallel is %d", n, name, key.ID, most))
			}
		}
	}
	return out
}

// told looks at what leaves the state: who keeps the history of it, or shows it,
// has nothing but what is told then.
func told(s *Step) []string {
	var out []string
	for i := range s.Change.Events {
		if ev := &s.Change.Events[i]; empty(ev) {
			out = append(out, fmt.Sprintf("something leaves table %s and isn't told", ev.Table()))
		}
	}
	for _, key := range s.jobs {
		out = append(out, untold(s, key)...)
	}
	return out
}

// empty reports whether an event says neither what was nor what is.
func empty(ev *feed.Event) bool {
	if ev.Table() == feed.TableAllocs {
		return !ev.NewAlloc().Valid() && !ev.OldAlloc().Valid()
	}
	return ev.New() == nil && ev.Old() == nil
}

// untold lists the evaluations, versions and deployments of a job that are gone
// without a word.
func untold(s *Step, key structs.NamespacedID) []string {
	var gone []string
	for e := range s.Before.EvalsByJob(key.Namespace, key.ID) {
		if s.After.Eval(e.ID) == nil {
			gone = append(gone, "evaluation "+e.ID)
		}
	}
	for _, j := range s.Before.JobVersions(key.Namespace, key.ID) {
		if now := s.After.JobVersion(key.Namespace, key.ID, j.GetVersion()); now == nil || now.GetCreateIndex() != j.GetCreateIndex() {
			gone = append(gone, versionOf(j))
		}
	}
	for d := range s.Before.DeploymentsByJob(key.Namespace, key.ID) {
		if s.After.Deployment(d.ID) == nil {
			gone = append(gone, "deployment "+d.ID)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	heard := farewells(s.Change)
	var out []string
	for _, what := range gone {
		if !heard[what] {
			out = append(out, fmt.Sprintf("%s of job %s is gone and nobody was told", what, key.ID))
		}
	}
	return out
}

func versionOf(j *structs.Job) string {
	return fmt.Sprintf("version %d since entry %d", j.GetVersion(), j.GetCreateIndex())
}

// farewells are what an entry tells of as it was, and isn't any more.
func farewells(c *feed.Change) map[string]bool {
	out := map[string]bool{}
	for i := range c.Events {
		ev := &c.Events[i]
		if ev.Table() == feed.TableAllocs || ev.New() != nil {
			continue
		}
		switch old := ev.Old().(type) {
		case *structs.Evaluation:
			out["evaluation "+old.ID] = true
		case *structs.Deployment:
			out["deployment "+old.ID] = true
		case *structs.Job:
			if ev.Kind() == feed.JobVersionRemoved {
				out[versionOf(old)] = true
			}
		}
	}
	return out
}
