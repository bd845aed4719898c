package reconcile

import (
	"cmp"
	"slices"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// everywhere is the state of the computation of a group that runs once on every
// node that suits it, of a system or a sysbatch job. Of what a group is it uses
// the lists of what is kept, waits for promotion or is to be replaced.
//
// At most one allocation holds a node; whatever holds it keeps others away. Its
// methods take the place of the group's of the same names.
type everywhere struct {
	group
	once  bool // runs to completion: what has ended holds its node
	nodes Nodes
	holds map[string]*structs.Allocation // by node, those that were tallied aside

	again   []*structs.Allocation // stops, and starts anew on its node
	broken  []*structs.Allocation // failed, starts anew on its node
	astray  []*structs.Allocation // of an older version, where the newest doesn't belong
	waits   []*structs.Allocation // outdated, on a node that takes no placements now
	past    map[*structs.Job]int  // older versions that ended, by how many did
	vacated int                   // nodes on which a canary stops that nobody wants any more
	old     *structs.Job          // to be placed while the newest may not be
}

// everywhere computes one group that the job wants on every node.
func (r *run) everywhere(tg *structs.TaskGroup, allocs []*structs.Allocation) {
	e := &everywhere{
		group: group{run: r, tg: tg, name: tg.GetName(), desired: r.desired(tg.GetName())},
		once:  r.Eval.Type == structs.JobTypeSysBatch,
		nodes: r.Nodes(r.Job, tg), holds: map[string]*structs.Allocation{}, past: map[*structs.Job]int{},
	}
	if counted := r.Tally.of(e.name); counted != nil {
		e.tallied, e.hasCurrent = *counted, counted.seen
	}
	for _, a := range allocs {
		e.hasCurrent = e.hasCurrent || !r.outdated(a)
		e.sort(a)
	}
	for _, a := range e.lost {
		r.lose(a)
		e.desired.Stop++
	}
	e.belong()
	changed := e.update()
	missing := e.missing(e.nodes)
	size := e.size(len(missing))
	e.join(changed, size)
	e.resize(size)
	e.part()
	e.inOrder()
	e.old = e.older()
	e.canary()
	e.successors()
	e.fill(missing)
	e.roll()
}

// sort puts one allocation where it belongs.
func (e *everywhere) sort(a *structs.Allocation) {
	current, gone := !e.run.outdated(a), e.run.gone(a.NodeID)
	switch {
	case a.ServerTerminal():
		e.stopped(a, current, gone)
	case a.ClientStatus == structs.AllocClientComplete && current && e.once:
		e.rest(a)
	case a.ClientStatus == structs.AllocClientComplete, a.ClientStatus == structs.AllocClientLost:
		e.pass(a)
	case e.unwantedCanary(a):
		e.stopNow(a, gone)
		if e.nodes.Has(a.NodeID) && !a.ClientTerminal() {
			e.vacated++
		}
	case a.ClientStatus == structs.AllocClientFailed:
		e.sortFailed(a, current)
	case gone:
		e.sortGone(a, false)
	case structs.Value(a.DesiredTransition.Migrate):
		e.move(a)
	case e.run.node(a.NodeID).Status == structs.NodeStatusDisconnected:
		e.sortDisconnected(a, false)
	default:
		e.keepOrCanary(a)
	}
}

// stopped handles an allocation that was told to stop.
func (e *everywhere) stopped(a *structs.Allocation, current, gone bool) {
	if gone && !a.ClientTerminal() {
		e.run.lose(a) // will not say that it did
	}
	switch {
	case !current:
		e.pass(a)
	case structs.Value(a.DesiredTransition.MigrateDisablePlacement):
		e.rest(a) // this version is to stay away from the node
	}
}

// pass notes an older version that ended.
func (e *everywhere) pass(a *structs.Allocation) {
	if a.Job != nil && e.run.outdated(a) && !a.DeploymentStatus.IsCanary() {
		e.past[a.Job]++
	}
}

// breathes reports whether an allocation failed a moment ago and nobody asks for it:
// the evaluation waited for room, which may be what the failure itself has left.
// Between a group that has no room and one that fails at once there would be no end.
func (e *everywhere) breathes(a *structs.Allocation) bool {
	return e.run.Eval.TriggeredBy == structs.TriggerQueuedAllocs && e.run.Now.Sub(failedAt(a, e.run.Now)).Abs() < restWindow
}

// rest lets an allocation that has ended hold its node.
func (e *everywhere) rest(a *structs.Allocation) {
	e.holds[a.NodeID] = a
	e.desired.Ignore++
}

// sortFailed decides what becomes of an allocation whose restarts are used up. Its
// node isn't left empty without end: whatever has a system job evaluated starts it
// anew, unless the deployment that placed it has yet to judge it or has failed by
// it. That of a sysbatch job has had its chance.
func (e *everywhere) sortFailed(a *structs.Allocation, current bool) {
	forced := structs.Value(a.DesiredTransition.ForceReschedule)
	switch {
	case a.NextAllocation != "":
	case !current && e.once: // the newest version starts over
		e.pass(a)
	case !current && e.nodes.Has(a.NodeID):
		e.keep = append(e.keep, a)
	case !current:
		e.pass(a)
	case !e.nodes.Has(a.NodeID), e.once && !forced:
		e.rest(a)
	case forced || !e.heldByDeployment(a) && !e.breathes(a):
		e.broken = append(e.broken, a)
	default:
		e.keepOrCanary(a)
	}
}

// move handles an allocation that was asked to leave. It has nowhere else to go:
// it starts anew where it is, or, if its node is drained, once that is eligible.
func (e *everywhere) move(a *structs.Allocation) {
	if e.nodes.Has(a.NodeID) {
		e.again = append(e.again, a)
		return
	}
	e.run.stop(a, structs.DescAllocNodeTainted)
	e.desired.Stop++
	e.pass(a)
}

// belong stops what doesn't belong on its node: a second one, or one of this
// version on a node that doesn't suit any more. Those of older versions are set
// apart, since they stay while the newest may not take over.
func (e *everywhere) belong() {
	e.keep = append(e.keep, e.away...) // silent nodes keep what they have
	slices.SortFunc(e.keep, func(a, b *structs.Allocation) int {
		if a.NodeID == b.NodeID && a != b {
			if moreRight(a, b) {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.NodeID, b.NodeID)
	})
	for _, list := range [][]*structs.Allocation{e.canaries, e.again, e.broken} {
		for _, a := range list {
			e.holds[a.NodeID] = a
		}
	}
	kept := e.keep[:0]
	for _, a := range e.keep {
		switch {
		case e.taken(a.NodeID):
			e.leave(a)
		case e.suits(a):
			kept = append(kept, a)
			e.holds[a.NodeID] = a
		case e.run.outdated(a):
			e.astray = append(e.astray, a)
			e.holds[a.NodeID] = a
		default:
			e.leave(a)
		}
	}
	e.keep = kept
}

// leave stops an allocation that is more than the job wants.
func (e *everywhere) leave(a *structs.Allocation) {
	if a.ClientTerminal() {
		return // it has ended already
	}
	e.unneeded(a)
	e.desired.Stop++
}

// taken reports whether something holds a node.
func (e *everywhere) taken(nodeID string) bool {
	return e.holds[nodeID] != nil || e.tallied.holds(nodeID)
}

// suits reports whether an allocation may stay where it is: its node takes such
// ones, or would but for being drained, ineligible or silent.
func (e *everywhere) suits(a *structs.Allocation) bool {
	if e.nodes.Has(a.NodeID) {
		return true
	}
	n := e.run.node(a.NodeID)
	return n != nil && !n.Ready() && e.run.Fits(e.tg, n)
}

// update moves outdated allocations to the newest version where they run, and
// sorts out those that must be replaced. It reports whether anything changes.
func (e *everywhere) update() bool {
	changed := e.group.update()
	replaced := e.destructive[:0]
	for _, a := range e.destructive {
		if e.nodes.Has(a.NodeID) {
			replaced = append(replaced, a)
			continue
		}
		e.waits = append(e.waits, a) // until its node takes placements again
		e.desired.Ignore++
	}
	e.destructive = replaced
	return changed && e.moved+len(e.destructive) > 0
}

// missing lists the nodes out of some that nothing holds.
func (e *everywhere) missing(nodes Nodes) []string {
	var out []string
	nodes.Each(func(id string) {
		if !e.taken(id) {
			out = append(out, id)
		}
	})
	slices.Sort(out) // so that it doesn't matter how nodes are numbered
	return out
}

// size is how many allocations a deployment of this version comes to, and how
// many of them are canaries: a share of them in percent.
func (e *everywhere) size(missing int) Total {
	s := Total{Allocs: missing + len(e.destructive) + len(e.canaries) + len(e.again) + len(e.broken)}
	if d := e.run.current; d.Active() {
		s.Allocs += e.tallied.within
		for _, a := range e.keep {
			if a.DeploymentID == d.ID || e.run.outdated(a) {
				s.Allocs++ // those of older versions are updated in place
			}
		}
	} else {
		s.Allocs += e.moved
	}
	if u := e.run.strategy(e.tg); u != nil {
		share := structs.Value(u.Canary)
		s.Canaries = min((s.Allocs*share+99)/100, len(e.destructive)+len(e.canaries))
	}
	return s
}

// resize tells how large the group's part of the deployment under way has become.
func (e *everywhere) resize(s Total) {
	if e.state == nil || e.run.active() == nil {
		return
	}
	if !e.canarying {
		s.Canaries = e.state.DesiredCanaries
	}
	s.Canaries = min(s.Canaries, e.state.DesiredCanaries) // nodes that come don't ask for more
	if e.run.out.Totals == nil {
		e.run.out.Totals = map[string]Total{}
	}
	e.run.out.Totals[e.name] = s
}

// part stops what runs where the newest version doesn't belong, unless that may
// not take over yet.
func (e *everywhere) part() {
	for _, a := range e.astray {
		if e.canarying || e.held() {
			e.desired.Ignore++
			continue
		}
		e.leave(a)
	}
}

// canary replaces as many outdated allocations as the deployment has canaries,
// node by node.
func (e *everywhere) canary() {
	if !e.canarying {
		return
	}
	n := min(e.state.DesiredCanaries, e.run.out.Totals[e.name].Canaries) - len(e.canaries)
	for len(e.destructive) > 0 && n > 0 && !e.held() {
		e.replaceBy(e.destructive[0], true)
		e.desired.Canary++
		e.destructive, n = e.destructive[1:], n-1
	}
	e.desired.Ignore += uint64(len(e.destructive))
}

// inOrder orders what is to be replaced: what ended first, then by node.
func (e *everywhere) inOrder() {
	slices.SortFunc(e.destructive, func(a, b *structs.Allocation) int {
		if x, y := a.ClientTerminal(), b.ClientTerminal(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.NodeID, b.NodeID)
	})
}

// replaceBy replaces an allocation by one of the newest version on its node.
func (e *everywhere) replaceBy(a *structs.Allocation, canary bool) {
	p := Place{
		Group: e.tg, Job: e.run.Job, Node: a.NodeID, Canary: canary, DeploymentID: e.deploymentID(),
		Stop: &structs.AllocStop{
			AllocID: a.ID, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: structs.DescAllocUpdating,
		},
	}
	if e.data(a) != "" {
		p.Previous = a
	}
	e.run.out.Places = append(e.run.out.Places, p)
}

// successors places anew, on their nodes, what was asked to leave and what failed.
func (e *everywhere) successors() {
	for _, a := range e.again {
		e.run.stop(a, structs.DescAllocMigrating)
		e.desired.Migrate++
		if !structs.Value(a.DesiredTransition.MigrateDisablePlacement) {
			e.anew(a, nil)
		}
	}
	for _, a := range e.broken {
		e.desired.Place++
		e.desired.RescheduleNow++
		e.anew(a, &structs.AllocStop{
			AllocID: a.ID, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: structs.DescAllocRescheduled,
		})
	}
}

// anew places the successor of an allocation on its node: of its own version, if
// the newest may not take over.
func (e *everywhere) anew(a *structs.Allocation, stop *structs.AllocStop) {
	p := Place{Group: e.tg, Job: e.run.Job, Node: a.NodeID, Previous: a, Stop: stop}
	if old := e.version(a); old != nil {
		p.Job, p.Group = old, old.LookupTaskGroup(e.name)
	} else {
		p.DeploymentID, p.Canary = e.deploymentID(), e.isCanary(a)
		e.placing++
	}
	e.run.out.Places = append(e.run.out.Places, p)
}

// fill places the group where it is missing. While canaries wait, and while the
// deployment is paused or after it failed, a node that comes gets the version that
// most others run, unless the newest runs the same tasks; if there is none, a failed
// deployment keeps no node empty.
func (e *everywhere) fill(missing []string) {
	job, tg, deployment := e.run.Job, e.tg, e.deploymentID()
	if e.canarying || e.held() {
		switch old := e.old; {
		case old != nil && structs.TasksUpdated(old, job, e.name):
			job, tg, deployment = old, old.LookupTaskGroup(e.name), ""
			missing = e.missing(e.run.Nodes(job, tg))
		case old == nil && !e.run.failed:
			return
		}
	}
	e.run.out.Places = slices.Grow(e.run.out.Places, len(missing))
	for _, id := range missing {
		e.run.out.Places = append(e.run.out.Places, Place{Group: tg, Job: job, Node: id, DeploymentID: deployment})
	}
	// They don't count against max_parallel until they run, or full nodes would hold
	// up the update of all others; nodes that just lost a canary aside.
	e.desired.Place += uint64(len(missing))
	if job == e.run.Job {
		e.placing += e.vacated
	}
}

// older returns the version before this one that most allocations run, or ran, if
// it may be needed.
func (e *everywhere) older() *structs.Job {
	if !e.canarying && !e.held() {
		return nil
	}
	running := map[*structs.Job]int{}
	for _, list := range [][]*structs.Allocation{e.destructive, e.astray, e.waits} {
		for _, a := range list {
			running[a.Job]++
		}
	}
	for _, from := range []map[*structs.Job]int{running, e.past, e.tallied.past} {
		if best := e.most(from); best != nil {
			return best
		}
	}
	return nil
}

// most returns the version that occurs most often, of equals the newest, nil if
// none can be placed any more.
func (e *everywhere) most(from map[*structs.Job]int) (best *structs.Job) {
	counts := map[uint64]int{}
	for job, n := range from {
		if job != nil {
			counts[job.GetVersion()] += n
		}
	}
	for job := range from {
		if !e.placeable(job) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(counts[job.GetVersion()], counts[best.GetVersion()]), cmp.Compare(job.GetVersion(), best.GetVersion())) > 0 {
			best = job
		}
	}
	return best
}

// roll replaces outdated allocations, as many as the deployment allows and no
// sooner than stagger after the last ones.
func (e *everywhere) roll() {
	if e.canarying {
		return // its canaries are all that is replaced
	}
	n := min(e.limit(), len(e.destructive))
	if n > 0 && e.tooSoon() {
		n = 0
	}
	for _, a := range e.destructive[:n] {
		e.desired.DestructiveUpdate++
		e.replaceBy(a, false)
	}
	e.desired.Ignore += uint64(len(e.destructive) - n)
}

// tooSoon reports whether less than stagger has passed since the deployment
// replaced the last allocations, and arranges for an evaluation once it has.
func (e *everywhere) tooSoon() bool {
	u, id := e.run.strategy(e.tg), e.deploymentID()
	if u == nil || id == "" {
		return false
	}
	last := e.tallied.latest
	for _, a := range e.keep {
		if a.DeploymentID == id {
			last = max(last, a.CreateTime)
		}
	}
	next := time.Unix(0, last).Add(structs.Value(u.Stagger))
	if last == 0 || !next.After(e.run.Now) {
		return false
	}
	e.run.followUp(&window{}, next, structs.TriggerRollingUpdate)
	return true
}
