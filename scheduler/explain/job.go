package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/scheduler/rank"
	"github.com/steppe-run/steppe/structs"
)

// WhyJob says why a job is placed as it is, and what would become of one more
// allocation of each group.
func WhyJob(in Input, job *structs.Job) (*structs.JobWhy, error) {
	w := &structs.JobWhy{
		JobID: job.GetID(), Namespace: job.GetNamespace(), Version: job.GetVersion(), Status: job.GetStatus(),
	}
	idle := standstill(job)
	d := scheduler.Decision{Plan: &structs.Plan{}, Eval: &structs.Evaluation{}}
	if idle == "" {
		var err error
		if d, err = in.rehearse(job); err != nil {
			return nil, err
		}
	}
	for _, g := range job.TaskGroups {
		w.Groups = append(w.Groups, in.group(job, g, &d, idle))
	}
	w.Summary = jobSummary(w, idle)
	return w, nil
}

// standstill says why nothing of a job is to be placed, whatever the nodes.
func standstill(job *structs.Job) string {
	switch {
	case job.Stopped():
		return "the job is stopped"
	case job.IsPeriodic():
		return "the job is periodic: its launches are placed, not the job itself"
	case job.IsParameterized():
		return "the job is parameterized: its dispatches are placed, not the job itself"
	}
	return ""
}

// rehearse schedules the job as it is and keeps nothing.
func (in *Input) rehearse(job *structs.Job) (scheduler.Decision, error) {
	n := 0
	return scheduler.Schedule(scheduler.Input{
		View: in.View, Capacity: in.Capacity, Running: in.View, Config: in.Config, Now: in.Now, Annotate: true,
		Eval: &structs.Evaluation{
			Namespace: job.GetNamespace(), JobID: job.GetID(), Type: job.GetType(), Priority: job.GetPriority(),
			TriggeredBy: structs.TriggerJobRegister, Status: structs.EvalStatusPending,
		},
		NewID: func() string { n++; return fmt.Sprintf("rehearsed-%d", n) },
	})
}

func (in *Input) group(job *structs.Job, g *structs.TaskGroup, d *scheduler.Decision, idle string) *structs.GroupWhy {
	w := &structs.GroupWhy{Group: g.GetName(), Desired: g.GetCount()}
	var waits []string
	for a := range in.View.JobAllocs(job.GetNamespace(), job.GetID(), nil) {
		switch {
		case a.TaskGroup != g.GetName():
		case !a.TerminalStatus():
			if what := a.WaitsFor(); what != "" {
				waits = append(waits, fmt.Sprintf(" %s is to leave node %s and waits for %s.", a.Name, in.nodeName(a.NodeID), what))
			}
			w.Placed++
			w.Placements = append(w.Placements, in.placement(a))
		case a.ClientStatus == structs.AllocClientComplete && a.DesiredStatus == structs.AllocDesiredRun && structs.Ends(job.GetType()):
			w.Complete++
		}
	}
	slices.SortFunc(w.Placements, func(a, b *structs.PlacementWhy) int {
		return cmp.Or(compareNames(a.Name, b.Name), cmp.Compare(a.AllocID, b.AllocID))
	})
	for i := range d.Plan.Groups {
		if d.Plan.Groups[i].TaskGroup == g.GetName() {
			w.WouldPlace += len(d.Plan.Groups[i].Rows)
		}
	}
	if m := d.Eval.FailedTGAllocs[g.GetName()]; m != nil {
		w.Unplaceable = m.CoalescedFailures + 1
	}
	if structs.EveryNode(job.GetType()) {
		w.Desired = w.Placed + w.Complete
		if d.Annotations != nil && d.Annotations.DesiredTGUpdates[g.GetName()] != nil {
			w.Desired += int(d.Annotations.DesiredTGUpdates[g.GetName()].Place)
		}
	}
	w.Next = in.look(job, in.study(job, g)).NodeSurvey
	slices.Sort(waits)
	w.Summary = in.groupSummary(w, job, d, idle) + strings.Join(waits, "")
	return w
}

func (in *Input) placement(a *structs.Allocation) *structs.PlacementWhy {
	w := &structs.PlacementWhy{AllocID: a.ID, Name: a.Name, NodeID: a.NodeID, NodeName: a.NodeName, Version: a.JobVersion()}
	if w.NodeName == "" {
		w.NodeName = in.nodeName(a.NodeID)
	}
	if a.Metrics != nil {
		for _, m := range a.Metrics.ScoreMetaData {
			if m.NodeID == a.NodeID {
				w.Score = in.stored(a, m)
			}
		}
	}
	return w
}

// stored is a score that was kept with an allocation.
func (in *Input) stored(a *structs.Allocation, m *structs.NodeScoreMeta) *structs.NodeScore {
	return &structs.NodeScore{NodeID: m.NodeID, NodeName: in.nodeName(m.NodeID), Score: m.NormScore, Parts: rank.Counted(m.Scores, rank.Affinities(a.Job, a.Job.LookupTaskGroup(a.TaskGroup)))}
}

// groupSummary is the sentence for one group: what is there, and why the rest
// isn't.
func (in *Input) groupSummary(w *structs.GroupWhy, job *structs.Job, d *scheduler.Decision, idle string) string {
	have := fmt.Sprintf("%d of %d placed", w.Placed, w.Desired)
	if w.Complete > 0 {
		have += fmt.Sprintf(", %d complete", w.Complete)
	}
	missing := w.Desired - w.Placed - w.Complete
	if structs.EveryNode(job.GetType()) && w.Desired == 0 {
		have = "no node is to run it"
	}
	switch {
	case idle != "":
		return have + ": " + idle + "."
	case w.Unplaceable > 0 && w.WouldPlace > 0:
		return fmt.Sprintf("%s; %d would be placed by an evaluation now: %s; the other %d can't be placed then.",
			have, w.WouldPlace, in.awaited(job), w.Unplaceable)
	case w.Unplaceable > 0 && w.Next.Fitting > 0 && structs.Value(job.AllAtOnce):
		return fmt.Sprintf("%s; %d can't be placed: all_at_once places all of the job or nothing, and one more would fit, but not all.", have, w.Unplaceable)
	case w.Unplaceable > 0:
		return fmt.Sprintf("%s; %d can't be placed: %s.", have, w.Unplaceable, refusals(w.Next))
	case missing > 0 && w.WouldPlace > 0:
		return fmt.Sprintf("%s; %d would be placed by an evaluation now: %s.", have, w.WouldPlace, in.awaited(job))
	case missing > 0:
		return fmt.Sprintf("%s; %s.", have, in.waits(job, w.Group, missing, d))
	case structs.EveryNode(job.GetType()):
		return have + "; it runs once on every node that suits it, and none is left that does."
	case w.Next.Fitting > 0:
		best := w.Next.Best[0]
		return fmt.Sprintf("%s; one more would go to %s, which scores %s, %s.",
			have, scoreName(best), number(best.Score), bestOf(w.Next.Fitting))
	}
	return fmt.Sprintf("%s; one more would fit nowhere: %s.", have, refusals(w.Next))
}

// awaited says what an evaluation that would place something waits for.
func (in *Input) awaited(job *structs.Job) string {
	for e := range in.View.EvalsByJob(job.GetNamespace(), job.GetID()) {
		switch e.Status {
		case structs.EvalStatusPending:
			return "one is waiting for its turn"
		case structs.EvalStatusBlocked:
			return "one is blocked and is tried again when room appears"
		}
	}
	return "none is under way, steppe job eval makes one"
}

// waits says why allocations are missing that an evaluation wouldn't place.
func (in *Input) waits(job *structs.Job, group string, missing int, d *scheduler.Decision) string {
	var when string
	for _, f := range d.FollowUps {
		if !f.WaitUntil.IsZero() && (when == "" || f.WaitUntil.UTC().Format(stamp) < when) {
			when = f.WaitUntil.UTC().Format(stamp)
		}
	}
	var wants *structs.DesiredUpdates
	if d.Annotations != nil {
		wants = d.Annotations.DesiredTGUpdates[group]
	}
	switch {
	case wants != nil && wants.RescheduleLater > 0 && when != "":
		return fmt.Sprintf("%d failed and wait until %s to be rescheduled", wants.RescheduleLater, when)
	case d.Eval.DeploymentID != "":
		return fmt.Sprintf("%d wait for the deployment to go on", missing)
	}
	if dep := in.failedDeployment(job); dep != nil {
		return fmt.Sprintf("%d are not placed because deployment %.8s failed (%s): this version is not tried again, change the job or revert it",
			missing, dep.ID, dep.StatusDescription)
	}
	return fmt.Sprintf("%d are not to be placed again: they failed and their reschedule block allows no further attempt, or a deployment holds them back", missing)
}

// failedDeployment is the deployment of a job's version if it failed: nothing
// more of that version is placed.
func (in *Input) failedDeployment(job *structs.Job) *structs.Deployment {
	dep := in.View.LatestDeployment(job.GetNamespace(), job.GetID())
	if dep == nil || dep.Status != structs.DeploymentStatusFailed || dep.JobVersion != job.GetVersion() || dep.JobCreateIndex != job.GetCreateIndex() {
		return nil
	}
	return dep
}

// stamp is how times stand in sentences.
const stamp = "2006-01-02T15:04:05Z"

func jobSummary(w *structs.JobWhy, idle string) string {
	if len(w.Groups) == 1 || idle != "" {
		if idle != "" {
			return fmt.Sprintf("Nothing of job %q is to be placed: %s.", w.JobID, idle)
		}
		return fmt.Sprintf("Group %q: %s", w.Groups[0].Group, w.Groups[0].Summary)
	}
	placed, desired := 0, 0
	var failing []string
	for _, g := range w.Groups {
		placed += g.Placed + g.Complete
		desired += g.Desired
		if g.Unplaceable > 0 {
			failing = append(failing, fmt.Sprintf("%d of group %q", g.Unplaceable, g.Group))
		}
	}
	if len(failing) > 0 {
		return fmt.Sprintf("%d of %d allocations are placed; no node has room for %s.", placed, desired, list(failing))
	}
	return fmt.Sprintf("%d of %d allocations are placed, and nothing stands in the way of more.", placed, desired)
}
