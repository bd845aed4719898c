package deployer

import (
	"maps"
	"slices"
	"time"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// examination is one look at one active deployment.
type examination struct {
	v     View
	dep   *structs.Deployment
	job   *structs.Job
	w     *watch
	now   time.Time
	newID func() string

	groups map[string]*groupFacts
}

// groupFacts is what the allocations of one group tell.
type groupFacts struct {
	healthy  int // and alive
	canaries int // healthy, alive and not promoted
	// stuck are unhealthy or failed and may not be replaced yet.
	stuck     []string
	unhealthy int
}

// examine returns the one thing to do next, nil if there is nothing but to
// wait. What is done changes the deployment, which brings the next look.
func (x *examination) examine() command.Command {
	switch {
	case x.job.Stopped():
		return x.update(structs.DeploymentStatusCancelled, structs.DescDeploymentStopped)
	case x.job.GetVersion() != x.dep.JobVersion:
		// The evaluation of the newer version ends this deployment.
		return nil
	case x.dep.Status == structs.DeploymentStatusPaused:
		x.w.paused = true
		return nil
	case x.w.paused:
		x.w.paused, x.w.nudge = false, true
	}
	if x.needsScan() {
		x.scan(x.v)
	}
	if c := x.unhealthy(); c != nil {
		return c
	}
	if c := x.overdue(); c != nil {
		return c
	}
	if x.promotable() {
		return &command.PromoteDeployment{
			DeploymentID:      x.dep.ID,
			StatusDescription: structs.DescDeploymentRunning,
			Eval:              x.eval(),
			Now:               x.now.UnixNano(),
		}
	}
	if x.complete() {
		c := x.update(structs.DeploymentStatusSuccessful, structs.DescDeploymentSuccessful)
		c.MarkStable = true
		return c
	}
	return x.goOn()
}

// needsScan reports whether the counters alone can't answer.
func (x *examination) needsScan() bool {
	if x.w.scan {
		return true
	}
	complete := true
	for _, st := range x.dep.TaskGroups {
		if st.UnhealthyAllocs > 0 || awaitsPromotion(st) {
			return true
		}
		complete = complete && st.HealthyAllocs >= st.DesiredTotal
	}
	return complete
}

func (x *examination) scan(v Allocations) {
	x.w.scan = false
	x.groups = map[string]*groupFacts{}
	for name := range x.dep.TaskGroups {
		x.groups[name] = &groupFacts{}
	}
	for a := range v.AllocsByDeployment(x.dep.ID) {
		if g := x.groups[a.TaskGroup]; g != nil {
			g.count(a)
		}
	}
}

func (g *groupFacts) count(a *structs.Allocation) {
	failed := a.DeploymentStatus.IsUnhealthy() || a.ClientStatus == structs.AllocClientFailed
	switch {
	case failed:
		g.unhealthy++
		if a.DesiredStatus == structs.AllocDesiredRun && a.NextAllocation == "" &&
			!structs.Value(a.DesiredTransition.Reschedule) {
			g.stuck = append(g.stuck, a.ID)
		}
	case a.DeploymentStatus.IsHealthy() && !a.TerminalStatus():
		g.healthy++
		if a.DeploymentStatus.IsCanary() {
			g.canaries++
		}
	}
}

// unhealthy fails the deployment if a group tolerates no unhealthy
// allocation; else it lets the scheduler replace them.
func (x *examination) unhealthy() command.Command {
	var stuck []string
	for _, name := range x.names() {
		g := x.groups[name]
		if g == nil {
			continue
		}
		if g.unhealthy > 0 && x.dep.TaskGroups[name].ProgressDeadline == 0 {
			return x.fail(structs.DescDeploymentFailedAllocations, name)
		}
		stuck = append(stuck, g.stuck...)
	}
	if len(stuck) == 0 || structs.EveryNode(x.job.GetType()) {
		return nil // they have no other node: it is they who must become healthy
	}
	slices.Sort(stuck)
	yes := true
	c := &command.TransitionAllocs{Evals: []*structs.Evaluation{x.eval()}, Now: x.now.UnixNano()}
	for _, id := range stuck {
		c.Transitions = append(c.Transitions, command.AllocTransition{
			AllocID: id, Transition: structs.DesiredTransition{Reschedule: &yes},
		})
	}
	return c
}

// overdue fails the deployment if a group's progress deadline has passed, and
// else notes when the next one will.
func (x *examination) overdue() command.Command {
	for _, name := range x.names() {
		by, bounded := x.deadline(name, x.dep.TaskGroups[name])
		if !bounded {
			continue
		}
		if !by.After(x.now) {
			return x.fail(structs.DescDeploymentProgressDeadline, name)
		}
		if x.w.due.IsZero() || by.Before(x.w.due) {
			x.w.due = by
		}
	}
	return nil
}

// deadline returns by when the group must make progress; a group that is done
// or waits for a person has none.
func (x *examination) deadline(name string, st *structs.DeploymentState) (time.Time, bool) {
	g := x.groups[name]
	// The counter also holds what was healthy once and has failed since.
	done := g == nil && st.HealthyAllocs >= st.DesiredTotal || g != nil && g.healthy >= st.DesiredTotal
	if awaitsPromotion(st) { // all its canaries must be there, also if they are more than its total
		done = g != nil && g.canaries >= st.DesiredCanaries
	}
	if st.ProgressDeadline == 0 || done {
		return time.Time{}, false
	}
	by := st.RequireProgressBy
	if by.IsZero() {
		// Nothing was placed yet: that may not last forever either.
		by = time.Unix(0, x.dep.CreateTime).Add(st.ProgressDeadline)
	}
	return by, true
}

// promotable reports whether every group that waits for promotion promotes
// itself and has all its canaries healthy.
func (x *examination) promotable() bool {
	waiting := 0
	for name, st := range x.dep.TaskGroups {
		if !awaitsPromotion(st) {
			continue
		}
		waiting++
		tg := x.job.LookupTaskGroup(name)
		if tg == nil || tg.Update == nil || !structs.Value(tg.Update.AutoPromote) {
			return false
		}
		if g := x.groups[name]; g == nil || g.canaries < st.DesiredCanaries {
			return false
		}
	}
	return waiting > 0
}

// complete reports whether every group is healthy at its desired total.
func (x *examination) complete() bool {
	for name, st := range x.dep.TaskGroups {
		g := x.groups[name]
		if awaitsPromotion(st) || g == nil || g.healthy < st.DesiredTotal {
			return false
		}
	}
	return true
}

// goOn asks for an evaluation if more allocations are healthy than before, so
// that a rolling update takes its next step.
func (x *examination) goOn() command.Command {
	healthy := 0
	for _, st := range x.dep.TaskGroups {
		healthy += st.HealthyAllocs
	}
	if healthy <= x.w.healthy && !x.w.nudge {
		return nil
	}
	x.w.healthy, x.w.nudge = healthy, false
	return &command.UpsertEvals{Evals: []*structs.Evaluation{x.eval()}, Now: x.now.UnixNano()}
}

func (x *examination) update(status, desc string) *command.UpdateDeployment {
	return &command.UpdateDeployment{
		Update: structs.DeploymentStatusUpdate{
			DeploymentID: x.dep.ID, Status: status, StatusDescription: desc,
		},
		Eval: x.eval(),
		Now:  x.now.UnixNano(),
	}
}

func (x *examination) fail(desc, group string) command.Command {
	return Fail(x.v, x.dep, Verdict{
		Description: desc,
		Revert:      x.dep.TaskGroups[group].AutoRevert,
		EvalID:      x.newID(),
		Now:         x.now,
	})
}

// names are the deployment's groups in a fixed order, so that equal views give
// equal answers.
func (x *examination) names() []string { return slices.Sorted(maps.Keys(x.dep.TaskGroups)) }

func (x *examination) eval() *structs.Evaluation {
	return evaluation(x.dep, x.job, x.newID(), x.now)
}

func awaitsPromotion(st *structs.DeploymentState) bool {
	return st.DesiredCanaries > 0 && !st.Promoted
}
