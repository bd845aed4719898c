package story

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// Times of settling: how long nothing may be written until all is taken for
// quiet, and until when that must be so.
const (
	quiet       = 2 * time.Minute
	settleLimit = 6 * time.Hour
	// A task may wait for its restart as long as the policy's interval.
	restartLimit = 15 * time.Minute
	// restLooks is how often a moment is looked for in which no task ends. Dozens of
	// overlapping launches of a batch job, restarted and rescheduled, end one by one.
	restLooks = 100
)

// settle ends every fault, waits until nothing changes any more, and judges what
// has come of it: the promises that things end.
func (p *Play) settle() error {
	if err := p.repair(); err != nil {
		return err
	}
	if err := p.quieten(); err != nil {
		return err
	}
	if err := p.calm(); err != nil || len(p.result.Violations) > 0 {
		return err // what a broken promise leaves behind is not judged
	}
	snap := p.cluster.Snapshot()
	for _, judge := range []func(*state.Snapshot){p.judgeEvals, p.judgeDeployments, p.judgeDrains, p.judgeNodes, p.judgeCounts, p.judgeEveryNode} {
		judge(snap)
	}
	p.judgeReplicas()
	if err := p.judgePast(); err != nil {
		return err
	}
	return p.judgeRest()
}

// judgePast looks for all that left the state in the history.
func (p *Play) judgePast() error {
	missing, err := p.past.Missing(context.Background())
	for _, what := range missing {
		p.fail(what)
	}
	return err
}

// quieten waits until there is a leader and has nothing new begin by itself.
func (p *Play) quieten() error {
	p.lookUntil(time.Minute, func() bool { return p.cluster.Leader() != nil })
	p.pass(10 * time.Second)
	p.judgeLaunches(p.cluster.Snapshot())
	return p.disable()
}

// repair ends every fault.
func (p *Play) repair() error {
	p.cluster.Net().HealAll()
	p.crashes = nil
	for _, d := range p.ahead {
		p.corrected(d)
	}
	p.unhealthy, p.ahead = map[string]bool{}, map[string]time.Duration{}
	for _, s := range p.cluster.Servers() {
		if s.Machine() == nil {
			if err := s.Start(); err != nil {
				return err
			}
		}
		s.Machine().Thaw()
		s.Machine().SetAhead(0)
	}
	p.cluster.Region().Changed()
	for _, n := range p.cluster.Nodes() {
		n.Fill(false)
		n.Engine().Refuse(false)
		n.Engine().Behave()
		n.KillAtWrite(0)
		if n.Machine() == nil {
			if err := n.Start(); err != nil {
				return err
			}
		}
		n.Machine().Thaw()
	}
	return nil
}

// corrected notes that a clock was set, and by how much: who waits for a time that
// it told before waits as much longer.
func (p *Play) corrected(by time.Duration) {
	if by != 0 {
		p.skew = max(p.skew, by.Abs())
		p.right = p.cluster.Now().Add(p.skew)
	}
}

// calm waits until nothing was written for a while.
func (p *Play) calm() error {
	var last uint64
	var still time.Time
	ok := p.lookUntil(settleLimit, func() bool {
		if snap := p.cluster.Snapshot(); snap.Index() != last {
			last = snap.Index()
			still = later(later(p.cluster.Now(), p.right), appointment(snap)).Add(patience(snap))
			for range snap.ActiveDeployments() {
				still = still.Add(p.skew) // its deadline is told by a timer that was set then
				break
			}
		}
		return p.cluster.Leader() != nil && !p.cluster.Now().Before(still)
	})
	if !ok {
		return fmt.Errorf("something still changes after %s: %s", settleLimit, unrest(p.cluster.Snapshot()))
	}
	return nil
}

// patience is how long nothing must be written.
func patience(s *state.Snapshot) time.Duration {
	for v := range s.AllocViews() {
		if !v.Row().Terminal() && v.Row().Client == alloc.Pending {
			return restartLimit
		}
	}
	return quiet
}

// appointment is the last time at which something is to happen by itself.
func appointment(s *state.Snapshot) time.Time {
	var at time.Time
	for e := range s.EvalsByStatus(structs.EvalStatusPending) {
		at = later(at, e.WaitUntil)
	}
	for n := range s.Nodes("") {
		if n.QuarantineUntil != 0 {
			at = later(at, time.Unix(0, n.QuarantineUntil))
		}
		if n.DrainStrategy != nil {
			at = later(at, n.DrainStrategy.ForceDeadline)
		}
	}
	for d := range s.ActiveDeployments() {
		if d.Status != structs.DeploymentStatusRunning {
			continue
		}
		for _, st := range d.TaskGroups {
			at = later(at, st.RequireProgressBy)
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func unrest(s *state.Snapshot) string {
	out := ""
	for e := range s.Evals(structs.AllNamespaces, "") {
		if !e.Terminal() {
			out += fmt.Sprintf("evaluation of %s (%s) is %s; ", e.JobID, e.TriggeredBy, e.Status)
		}
	}
	for d := range s.ActiveDeployments() {
		out += fmt.Sprintf("deployment of %s is %s; ", d.JobID, d.StatusDescription)
	}
	return out
}

func (p *Play) judgeEvals(s *state.Snapshot) {
	for e := range s.Evals(structs.AllNamespaces, "") {
		if !e.Terminal() && e.Status != structs.EvalStatusBlocked {
			p.fail(fmt.Sprintf("evaluation %s of job %s (%s) is %s for ever", e.ID, e.JobID, e.TriggeredBy, e.Status))
		}
	}
}

func waitsForPromotion(s *state.Snapshot, d *structs.Deployment) bool {
	for name, st := range d.TaskGroups {
		if st.DesiredCanaries == 0 || st.Promoted {
			continue
		}
		healthy := 0
		for a := range s.AllocsByDeployment(d.ID) {
			if a.TaskGroup == name && a.DeploymentStatus.IsCanary() && a.DeploymentStatus.IsHealthy() && !a.TerminalStatus() {
				healthy++
			}
		}
		if healthy >= st.DesiredCanaries {
			return true
		}
	}
	return false
}

func (p *Play) judgeDeployments(s *state.Snapshot) {
	for d := range s.ActiveDeployments() {
		if d.Status == structs.DeploymentStatusPaused || waitsForPromotion(s, d) {
			continue
		}
		p.fail(fmt.Sprintf("deployment of job %s version %d is %s for ever (%s)", d.JobID, d.JobVersion, d.Status, d.StatusDescription))
	}
}

func (p *Play) judgeDrains(s *state.Snapshot) {
	for n := range s.Nodes("") {
		if n.DrainStrategy == nil {
			continue
		}
		left := 0
		for a := range alloc.Outlines(s.AllocViewsByNode(n.ID)) {
			if !a.TerminalStatus() && (!n.DrainStrategy.IgnoreSystemJobs || !structs.EveryNode(a.Job.GetType())) {
				left++
			}
		}
		// A drain without deadline may wait for ever for room elsewhere.
		if left == 0 || !n.DrainStrategy.ForceDeadline.IsZero() && n.DrainStrategy.ForceDeadline.Before(p.cluster.Now()) {
			p.fail(fmt.Sprintf("node %s drains for ever, %d allocations are left", n.Name, left))
		}
	}
}

// judgeNodes compares what runs with what is to run.
func (p *Play) judgeNodes(s *state.Snapshot) {
	for _, n := range p.cluster.Nodes() {
		runs := map[string]int{}
		for _, t := range n.Engine().Running() {
			runs[t.Config.AllocID]++
			a := s.Alloc(t.Config.AllocID)
			if a == nil || a.TerminalStatus() {
				p.fail(fmt.Sprintf("a task of job %s runs on %s, nobody wants it (allocation %s)", t.Config.JobID, n.Name(), t.Config.AllocID))
			}
		}
		if node := s.Node(n.ID()); node == nil || node.Status != structs.NodeStatusReady {
			p.fail(fmt.Sprintf("node %s is up and not ready", n.Name()))
		}
		for a := range alloc.Outlines(s.AllocViewsByNode(n.ID())) {
			if !a.TerminalStatus() && a.ClientStatus == structs.AllocClientRunning && runs[a.ID] == 0 {
				p.fail(fmt.Sprintf("%s is said to run on %s and doesn't (allocation %s)", a.Name, n.Name(), a.ID))
			}
			if !a.TerminalStatus() && a.ClientStatus != structs.AllocClientRunning {
				p.fail(fmt.Sprintf("%s on %s is %s for ever (allocation %s)", a.Name, n.Name(), a.ClientStatus, a.ID))
			}
		}
	}
}

// judgeCounts compares what runs with what jobs ask for.
func (p *Play) judgeCounts(s *state.Snapshot) {
	for job := range s.Jobs(structs.AllNamespaces, "") {
		p.judgeSummary(s, job)
		if job.Stopped() {
			if n := len(running(s, job.GetID())); n > 0 {
				p.fail(fmt.Sprintf("job %s is stopped and %d allocations run", job.GetID(), n))
			}
			continue
		}
		if job.GetType() == structs.JobTypeService && !job.IsTemplate() {
			p.judgeCount(s, job)
		}
	}
}

// judgeSummary has a job's summary count its allocations as they are, and as queued
// what waits for capacity, and only that.
func (p *Play) judgeSummary(s *state.Snapshot, job *structs.Job) {
	want := map[string]structs.TaskGroupSummary{}
	for e := range s.EvalsByJob(job.GetNamespace(), job.GetID()) {
		if e.Status == structs.EvalStatusBlocked {
			for group, n := range e.QueuedAllocations {
				want[group] = structs.TaskGroupSummary{Queued: n}
			}
		}
	}
	for a := range s.AllocsByJob(job.GetNamespace(), job.GetID()) {
		if a.Job.GetCreateIndex() != job.GetCreateIndex() {
			continue // of a job of that name that was purged
		}
		counts := want[a.TaskGroup]
		switch a.ClientStatus {
		case structs.AllocClientPending:
			counts.Starting++
		case structs.AllocClientRunning:
			counts.Running++
		case structs.AllocClientUnknown:
			counts.Unknown++
		}
		want[a.TaskGroup] = counts
	}
	for group, is := range s.JobSummary(job.GetNamespace(), job.GetID()).Summary {
		is.Complete, is.Failed, is.Lost = 0, 0, 0 // those, too, that are swept
		if is != want[group] {
			p.fail(fmt.Sprintf("the summary of group %s of job %s is %+v, and should be %+v", group, job.GetID(), is, want[group]))
		}
	}
}

func (p *Play) judgeCount(s *state.Snapshot, job *structs.Job) {
	for _, g := range job.TaskGroups {
		have, canaries := 0, 0
		for _, a := range running(s, job.GetID()) {
			if a.TaskGroup == g.GetName() {
				have++
				if a.DeploymentStatus.IsCanary() {
					canaries++
				}
			}
		}
		most := g.GetCount()
		if d := s.LatestDeployment(job.GetNamespace(), job.GetID()); d != nil && d.TaskGroups[g.GetName()] != nil && !d.TaskGroups[g.GetName()].Promoted {
			most += min(canaries, d.TaskGroups[g.GetName()].DesiredCanaries)
		}
		switch {
		case have > most:
			p.fail(fmt.Sprintf("group %s of job %s runs %d times, its count is %d", g.GetName(), job.GetID(), have, g.GetCount()))
		case have < g.GetCount() && !excused(s, job):
			p.fail(fmt.Sprintf("group %s of job %s runs %d times of %d, and nothing is to change that", g.GetName(), job.GetID(), have, g.GetCount()))
		}
	}
}

// excused reports whether a job is told to run less than it asks for: it waits
// for capacity, has used up its reschedules, or its deployment failed or waits.
func excused(s *state.Snapshot, job *structs.Job) bool {
	for e := range s.EvalsByJob(job.GetNamespace(), job.GetID()) {
		if e.Status == structs.EvalStatusBlocked {
			return true
		}
	}
	d := s.LatestDeployment(job.GetNamespace(), job.GetID())
	if d != nil && d.JobVersion == job.GetVersion() && (d.Active() || d.Status == structs.DeploymentStatusFailed && mixed(s, job)) {
		return true
	}
	for a := range alloc.Outlines(s.AllocViewsByJob(job.GetNamespace(), job.GetID())) {
		if a.ClientStatus == structs.AllocClientFailed && a.DesiredStatus == structs.AllocDesiredRun && a.NextAllocation == "" {
			return true
		}
	}
	return false
}

// mixed reports whether versions of a job, or a purged one and its successor, run
// side by side: its last change stopped on the way.
func mixed(s *state.Snapshot, job *structs.Job) bool {
	return slices.ContainsFunc(running(s, job.GetID()), func(a *structs.Allocation) bool { return !a.Job.SameVersion(job) })
}

// judgeReplicas compares the servers.
func (p *Play) judgeReplicas() {
	leader := p.cluster.Leader()
	if leader == nil {
		p.fail("there is no leader")
		return
	}
	want := leader.Store().Snapshot()
	hash := want.StateHash()
	for _, s := range p.cluster.Servers() {
		if snap := s.Store().Snapshot(); snap.Index() != want.Index() || snap.StateHash() != hash {
			p.fail(fmt.Sprintf("%s is at entry %d and differs from the leader, which is at %d", s.Name(), snap.Index(), want.Index()))
		}
	}
}

// judgeRest has every job evaluated once more: nothing may follow from it, or
// something was forgotten. If tasks end meanwhile something may, and it is asked
// again when nothing follows from that any more.
func (p *Play) judgeRest() error {
	for range restLooks {
		before := p.cluster.Snapshot()
		if err := p.evaluateAll(); err != nil {
			return err
		}
		p.pass(10 * time.Second)
		after := p.cluster.Snapshot()
		if ended(before, after) {
			if err := p.calm(); err != nil {
				return err
			}
			continue
		}
		known := allocsOf(before)
		for _, text := range allocsOf(after) {
			if !slices.Contains(known, text) {
				p.fail("an evaluation that nothing called for brought " + text)
			}
		}
		return nil
	}
	p.fail("tasks end whenever it is looked")
	return nil
}

// ended reports whether the tasks of an allocation ended by themselves between two
// looks.
func ended(before, after *state.Snapshot) bool {
	for a := range after.Allocs(structs.AllNamespaces, "") {
		if was := before.Alloc(a.ID); was == nil || was.ClientTerminal() || !a.ClientTerminal() {
			continue
		}
		if a.DesiredStatus == structs.AllocDesiredRun || a.ClientStatus == structs.AllocClientFailed {
			return true
		}
	}
	return false
}

func (p *Play) evaluateAll() error {
	for job := range p.cluster.Snapshot().Jobs(structs.AllNamespaces, "") {
		if job.Stopped() || job.IsTemplate() || startsAnew(p.cluster.Snapshot(), job) {
			continue
		}
		err := p.ask(func(ctx context.Context, on *control.Control) error {
			_, err := on.EvaluateJob(ctx, &structs.JobEvaluateRequest{JobID: job.GetID(), WriteRequest: structs.WriteRequest{Namespace: job.GetNamespace()}})
			return err
		})
		if err != nil {
			return fmt.Errorf("evaluate job %s once more: %w", job.GetID(), err)
		}
	}
	return nil
}

// startsAnew reports whether whatever has a job evaluated starts something anew:
// what failed of a system job, whose restarts are used up, waits for that.
func startsAnew(s *state.Snapshot, job *structs.Job) bool {
	if job.GetType() != structs.JobTypeSystem {
		return false
	}
	for a := range alloc.Outlines(s.AllocViewsByJob(job.GetNamespace(), job.GetID())) {
		if a.ClientStatus == structs.AllocClientFailed && a.DesiredStatus == structs.AllocDesiredRun && a.NextAllocation == "" {
			return true
		}
	}
	return false
}

func allocsOf(s *state.Snapshot) []string {
	var out []string
	for a := range alloc.Outlines(s.AllocViews()) {
		out = append(out, fmt.Sprintf("%s %s %s %s", a.Name, a.ID, a.DesiredStatus, a.DesiredDescription))
	}
	return out
}
