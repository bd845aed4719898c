package explain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// maxRounds is how many rounds of a group are tried one by one; of a group that
// takes more, several are tried together.
const maxRounds = 64

// Drain says what draining a node would do. It plays the drain: what leaves in
// each round is placed by the planner before the next one begins, what takes its
// place is taken to become healthy. The index is changed meanwhile, and as
// before when it returns.
func Drain(in Input, node *structs.Node, spec structs.DrainSpec) (*structs.DrainPlan, error) {
	draining := *node
	draining.DrainStrategy = &structs.DrainStrategy{DrainSpec: spec}
	draining.SchedulingEligibility = structs.NodeIneligible
	s := newStage(in.View, in.Capacity, &draining)
	defer s.clear()
	in.View = s
	d := &drainage{in: in, stage: s, spec: spec, status: node.Status, plan: &structs.DrainPlan{
		NodeID: node.ID, NodeName: node.Name, Draining: node.DrainStrategy != nil,
		Deadline: spec.Deadline, IgnoreSystemJobs: spec.IgnoreSystemJobs,
	}}
	d.collect()
	if err := d.empty(); err != nil {
		return nil, err
	}
	d.sum()
	return d.plan, nil
}

// drainage is a drain that is played.
type drainage struct {
	in     Input
	stage  *stage
	spec   structs.DrainSpec
	plan   *structs.DrainPlan
	status string     // the node's
	groups []*leaving // in the order in which their jobs are evaluated
}

// leaving is what of a group is on the node.
type leaving struct {
	*structs.DrainedGroup
	job *structs.Job
	tg  *structs.TaskGroup
	// serving counts those of the whole group that are healthy or become so and stay,
	// also on other nodes.
	serving int
	// told were told to move before; waiting found no room for the replacement that
	// is to run beside them.
	told, waiting, healthy, unhealthy []*structs.DrainedAlloc
	reason                            string // why there was no room
}

// collect sorts what is on the node by what a drain does with it.
func (d *drainage) collect() {
	by := map[[3]string]*leaving{}
	for a := range d.stage.AllocsByNode(d.stage.node.ID) {
		if a.ClientTerminal() {
			continue
		}
		key := [3]string{a.Namespace, a.JobID, a.TaskGroup}
		if by[key] == nil {
			by[key] = d.leaving(a)
			d.groups = append(d.groups, by[key])
		}
		by[key].sort(a, d.spec.IgnoreSystemJobs)
	}
	slices.SortFunc(d.groups, func(a, b *leaving) int {
		return cmp.Or(b.Priority-a.Priority, cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.JobID, b.JobID), cmp.Compare(a.Group, b.Group))
	})
	for _, l := range d.groups {
		byName := func(a, b *structs.DrainedAlloc) int {
			return cmp.Or(compareNames(a.Name, b.Name), cmp.Compare(a.AllocID, b.AllocID))
		}
		for _, list := range [][]*structs.DrainedAlloc{l.Allocs, l.told, l.healthy, l.unhealthy} {
			slices.SortFunc(list, byName)
		}
	}
}

func (d *drainage) leaving(a *structs.Allocation) *leaving {
	l := &leaving{
		DrainedGroup: &structs.DrainedGroup{JobID: a.JobID, Namespace: a.Namespace, Group: a.TaskGroup, JobType: structs.JobTypeService, MaxParallel: 1},
		job:          d.stage.Job(a.Namespace, a.JobID),
	}
	if a.Job != nil {
		l.JobType, l.Priority = a.Job.GetType(), a.Job.GetPriority()
	}
	if l.job == nil || l.job.Stopped() {
		return l
	}
	l.Priority, l.tg = l.job.GetPriority(), l.job.LookupTaskGroup(a.TaskGroup)
	if l.tg == nil || structs.EveryNode(l.JobType) {
		return l
	}
	if l.tg.Migrate != nil {
		l.MaxParallel = max(1, structs.ValueOr(l.tg.Migrate.MaxParallel, 1))
	}
	for other := range d.stage.JobAllocs(a.Namespace, a.JobID, nil) {
		if other.TaskGroup == a.TaskGroup && !other.TerminalStatus() && !structs.Value(other.DesiredTransition.Migrate) && d.counts(other) {
			l.serving++
		}
	}
	return l
}

// counts reports whether an allocation serves and its node doesn't give it up now.
func (d *drainage) counts(a *structs.Allocation) bool {
	n := d.stage.Node(a.NodeID)
	return serves(a) && (n == nil || !n.DrainStrategy.Forced(d.in.Now))
}

// serves reports whether an allocation runs, as far as is known, and is healthy, or
// nothing says that it won't be. A canary stands for nothing before its promotion.
func serves(a *structs.Allocation) bool {
	return a.ClientStatus == structs.AllocClientRunning && !a.DeploymentStatus.IsCanary() && (!a.DeploymentStatus.HasHealth() || a.DeploymentStatus.IsHealthy())
}

// sort puts an allocation where it belongs.
func (l *leaving) sort(a *structs.Allocation, ignoreSystem bool) {
	out := &structs.DrainedAlloc{AllocID: a.ID, Name: a.Name}
	l.Allocs = append(l.Allocs, out)
	switch {
	case a.ServerTerminal():
		out.Outcome, out.When, out.Reason = structs.DrainStops, structs.DrainAtOnce, "it is being stopped already"
	case structs.EveryNode(l.JobType) && ignoreSystem:
		out.Outcome, out.When, out.Reason = structs.DrainStays, structs.DrainNever, "system jobs are ignored"
	case structs.EveryNode(l.JobType):
		out.Outcome, out.When, out.Reason = structs.DrainStops, structs.DrainLast, "it runs once on every node, and has no other"
	case l.tg == nil:
		out.Outcome, out.When, out.Reason = structs.DrainStops, structs.DrainAtOnce, "its job no longer wants it"
	case structs.Value(a.DesiredTransition.Migrate):
		out.AfterReplacement = a.DesiredTransition.Lasts()
		l.told = append(l.told, out)
	case l.JobType == structs.JobTypeService && !serves(a):
		l.unhealthy = append(l.unhealthy, out)
	default:
		l.healthy = append(l.healthy, out)
	}
}

// empty plays the drain to its end.
func (d *drainage) empty() error {
	all := func(l *leaving) []*structs.DrainedAlloc {
		return slices.Concat(l.take(&l.told, len(l.told)), l.take(&l.waiting, len(l.waiting)),
			l.take(&l.healthy, len(l.healthy)), l.take(&l.unhealthy, len(l.unhealthy)))
	}
	if d.spec.Deadline < 0 {
		_, err := d.step(structs.DrainAtOnce, all)
		return err
	}
	for more := true; more; {
		var err error
		if more, err = d.step(structs.DrainRound, (*leaving).round); err != nil {
			return err
		}
	}
	if d.spec.Deadline > 0 {
		_, err := d.step(structs.DrainDeadline, all)
		return err
	}
	for _, l := range d.groups {
		l.remain()
	}
	return nil
}

// take moves the first n of a list out of it.
func (l *leaving) take(list *[]*structs.DrainedAlloc, n int) []*structs.DrainedAlloc {
	n = max(0, min(n, len(*list)))
	out := (*list)[:n]
	*list = (*list)[n:]
	return out
}

// round is what leaves next as the migrate block allows. Of a group of which many
// leave it is several rounds.
func (l *leaving) round() []*structs.DrainedAlloc {
	l.release()
	out := l.take(&l.told, len(l.told))
	if l.JobType != structs.JobTypeService || l.tg == nil {
		l.Rounds = inRounds(out, len(out), l.Rounds)
		return out
	}
	spare := max(0, min(l.serving-l.tg.GetCount(), 0)+l.MaxParallel)
	together := 1 + len(l.Allocs)/(max(1, min(spare, l.MaxParallel))*maxRounds)
	told, before := inRounds(out, len(out), l.Rounds), l.Rounds
	healthy := l.take(&l.healthy, spare*together)
	if n := len(healthy); n > 0 && n == l.serving && l.tg.RunsTwice() {
		healthy[n-1].AfterReplacement = true
	}
	unhealthy := l.take(&l.unhealthy, l.MaxParallel*together)
	l.Rounds = max(told, inRounds(healthy, spare, before), inRounds(unhealthy, l.MaxParallel, before))
	return slices.Concat(out, healthy, unhealthy)
}

// release lets those go that are to wait for their replacements, once others of
// the group serve.
func (l *leaving) release() {
	if l.tg == nil || l.serving == 0 || l.serving < l.tg.GetCount()-l.MaxParallel {
		return
	}
	l.told = append(l.told, l.take(&l.waiting, len(l.waiting))...)
	for _, a := range l.told {
		a.AfterReplacement = false
	}
}

// inRounds notes in which round after some others each leaves, so many at a time,
// and returns the last round.
func inRounds(list []*structs.DrainedAlloc, each, after int) int {
	last := after
	for i, a := range list {
		last = after + 1 + i/each
		a.Round = last
	}
	return last
}

// remain says of what is left that it waits, as there is no deadline.
func (l *leaving) remain() {
	for _, a := range l.waiting {
		a.Outcome, a.When = structs.DrainStays, structs.DrainNever
		a.Reason = fmt.Sprintf("it is the last healthy one of its group and leaves only once a replacement is healthy, for which there is no room: %s; there is no deadline", l.reason)
	}
	for _, a := range slices.Concat(l.healthy, l.unhealthy) {
		a.Outcome, a.When = structs.DrainStays, structs.DrainItself
		a.Reason = "it runs to its end, and the drain waits for it: there is no deadline"
		if l.JobType == structs.JobTypeService {
			a.When = structs.DrainNever
			a.Reason = "so few others of its group are healthy that migrate.max_parallel doesn't let it go, and there is no deadline"
		}
	}
}

// step plays one round: every job with something to move is evaluated once.
func (d *drainage) step(when string, which func(*leaving) []*structs.DrainedAlloc) (any bool, err error) {
	var jobs []*structs.Job
	going := map[*structs.Job]map[*leaving][]*structs.DrainedAlloc{}
	for _, l := range d.groups {
		list := which(l)
		if len(list) == 0 {
			continue
		}
		for _, a := range list {
			a.When = when
			d.tell(l, a)
		}
		if going[l.job] == nil {
			going[l.job] = map[*leaving][]*structs.DrainedAlloc{}
			jobs = append(jobs, l.job)
		}
		going[l.job][l] = list
	}
	for _, job := range jobs {
		if err := d.evaluate(job, going[job]); err != nil {
			return false, err
		}
	}
	return len(jobs) > 0, nil
}

// tell has an allocation go.
func (d *drainage) tell(l *leaving, a *structs.DrainedAlloc) {
	if was := d.stage.Alloc(a.AllocID); serves(was) && !structs.Value(was.DesiredTransition.Migrate) {
		l.serving--
	}
	d.stage.migrate(a.AllocID, a.AfterReplacement && a.When == structs.DrainRound)
}

func (d *drainage) evaluate(job *structs.Job, going map[*leaving][]*structs.DrainedAlloc) error {
	decision, err := d.in.rehearse(job)
	if err != nil {
		return fmt.Errorf("rehearse the drain of %s: %w", d.plan.NodeID, err)
	}
	d.preempted(decision.Plan)
	d.stage.commit(decision.Plan)
	at := map[string]string{} // by the allocation that is replaced
	for g := range decision.Plan.Groups {
		for r := range decision.Plan.Groups[g].Rows {
			row := &decision.Plan.Groups[g].Rows[r]
			at[row.PreviousAllocation] = row.NodeID
		}
	}
	for _, l := range d.groups {
		for _, a := range going[l] {
			d.outcome(l, a, at[a.AllocID], &decision)
		}
	}
	return nil
}

// outcome notes what became of an allocation that left, or is to.
func (d *drainage) outcome(l *leaving, a *structs.DrainedAlloc, nodeID string, decision *scheduler.Decision) {
	was := d.stage.View.Alloc(a.AllocID)
	heir := d.heir(was) // it runs already, beside the one that it replaces
	switch {
	case nodeID != "" || heir != nil:
		if (heir == nil || !d.counts(heir)) && !was.DeploymentStatus.IsCanary() {
			l.serving++
		}
		if nodeID == "" {
			nodeID = heir.NodeID
		}
		a.Outcome, a.NodeID, a.NodeName = structs.DrainMoves, nodeID, d.in.nodeName(nodeID)
		d.stage.stop(a.AllocID)
		return
	case decision.Eval.FailedTGAllocs[l.Group] == nil:
		a.Outcome, a.Reason = structs.DrainStops, "its job no longer wants it"
		return
	}
	d.refused(l)
	if a.AfterReplacement && a.When == structs.DrainRound {
		l.wait(a)
		return
	}
	a.Outcome, a.Reason = structs.DrainUnplaceable, l.reason
}

// wait keeps one that is to leave after its replacement, for which there is no room.
func (l *leaving) wait(a *structs.DrainedAlloc) {
	a.When, a.Round, l.Rounds = "", 0, 0
	l.waiting = append(l.waiting, a)
	for _, other := range l.Allocs {
		l.Rounds = max(l.Rounds, other.Round)
	}
}

// refused notes why there is no room for more of a group.
func (d *drainage) refused(l *leaving) {
	if l.Next != nil {
		return
	}
	l.Next = d.in.look(l.job, d.in.study(l.job, l.tg)).NodeSurvey
	l.reason = refusals(l.Next)
	if structs.Value(l.job.AllAtOnce) && l.Next.Fitting > 0 {
		l.reason = "all_at_once places all of the job or nothing"
	}
}

// heir is what stands in the place of an allocation already, nil if nothing does.
func (d *drainage) heir(of *structs.Allocation) *structs.Allocation {
	if of == nil || of.NextAllocation == "" {
		return nil
	}
	if a := d.stage.Alloc(of.NextAllocation); a != nil && !a.TerminalStatus() {
		return a
	}
	return nil
}

// preempted notes who has to go for a plan.
func (d *drainage) preempted(p *structs.Plan) {
	for g := range p.Groups {
		for r := range p.Groups[g].Rows {
			for _, id := range p.Groups[g].Rows[r].Preempts {
				if a := d.stage.Alloc(id); a != nil {
					d.plan.Preempted = append(d.plan.Preempted, &structs.PreemptedAlloc{
						AllocID: a.ID, Name: a.Name, Namespace: a.Namespace, JobID: a.JobID, Priority: a.Job.GetPriority(),
					})
				}
			}
		}
	}
}

// sum sums up.
func (d *drainage) sum() {
	p := d.plan
	p.Fits = true
	for _, l := range d.groups {
		l.count()
		p.Moves, p.Unplaceable, p.Stops, p.Stays = p.Moves+l.Moves, p.Unplaceable+l.Unplaceable, p.Stops+l.Stops, p.Stays+l.Stays
		p.Rounds, p.Takes = max(p.Rounds, l.Rounds), max(p.Takes, l.Takes)
		l.Summary = groupDrained(l.DrainedGroup, p.Deadline)
		p.Fits = p.Fits && l.Unplaceable == 0 && !l.stuck()
		p.Groups = append(p.Groups, l.DrainedGroup)
	}
	p.Summary = drainSummary(p, d.status)
}

func (l *leaving) count() {
	for _, a := range l.Allocs {
		switch a.Outcome {
		case structs.DrainMoves:
			l.Moves++
		case structs.DrainUnplaceable:
			l.Unplaceable++
		case structs.DrainStops:
			l.Stops++
		default:
			l.Stays++
		}
	}
	if l.tg != nil && l.Rounds > 0 {
		settle := 10 * time.Second
		if l.tg.Migrate != nil {
			settle = structs.ValueOr(l.tg.Migrate.MinHealthyTime, settle)
		}
		l.Takes = time.Duration(l.Rounds) * settle
	}
}

// stuck reports whether something of a service never leaves.
func (l *leaving) stuck() bool {
	return l.JobType == structs.JobTypeService && slices.ContainsFunc(l.Allocs, func(a *structs.DrainedAlloc) bool {
		return a.Outcome == structs.DrainStays && a.When == structs.DrainNever
	})
}
