package scheduler

import (
	"cmp"
	"slices"

	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/structs"
)

// maxPreempting bounds the placements of one plan for which others have to go,
// and maxLooks how many nodes are looked at closely for them (each takes less
// than a microsecond), so that no slice takes long.
const maxPreempting, maxLooks = 256, 5000

// preemption returns how the job may take the room of others, nil if it may
// not.
func (d *decider) preemption() *place.Preemption {
	if d.Running == nil || d.job == nil {
		return nil
	}
	p := Preemption(d.Config, d.job, d.Running)
	if p != nil && !d.Annotate && !d.allAtOnce() {
		p.MaxRows, p.MaxLooks = maxPreempting, maxLooks
	}
	return p
}

// Preemption returns how a job may take the room of others, without a bound, nil
// if the configuration lets no job of its type do so.
func Preemption(config *structs.SchedulerConfiguration, job *structs.Job, running Running) *place.Preemption {
	if config == nil {
		config = structs.DefaultSchedulerConfiguration()
	}
	on := false
	switch job.GetType() {
	case structs.JobTypeSystem:
		on = config.PreemptionConfig.SystemSchedulerEnabled
	case structs.JobTypeSysBatch:
		on = config.PreemptionConfig.SysBatchSchedulerEnabled
	case structs.JobTypeService:
		on = config.PreemptionConfig.ServiceSchedulerEnabled
	case structs.JobTypeBatch:
		on = config.PreemptionConfig.BatchSchedulerEnabled
	}
	if !on {
		return nil
	}
	return &place.Preemption{
		Job:      structs.NamespacedID{Namespace: job.GetNamespace(), ID: job.GetID()},
		Priority: job.GetPriority(), Running: running.AllocsByNode,
	}
}

// preempted finds the allocations that have to go for the plan, with their
// nodes' help.
func (d *decider) preempted() []*structs.Allocation {
	var out []*structs.Allocation
	for g := range d.plan.Groups {
		for r := range d.plan.Groups[g].Rows {
			row := &d.plan.Groups[g].Rows[r]
			if len(row.Preempts) > 0 {
				out = append(out, d.victims(row)...)
			}
		}
	}
	return out
}

func (d *decider) victims(row *structs.Placement) (out []*structs.Allocation) {
	for a := range d.Running.AllocsByNode(row.NodeID) {
		if slices.Contains(row.Preempts, a.ID) {
			out = append(out, a)
		}
	}
	return out
}

// consequences returns the evaluations of the jobs whose allocations have to go:
// each is to find room elsewhere.
func (d *decider) consequences(gone []*structs.Allocation) []*structs.Evaluation {
	var jobs []*structs.Allocation // one of each job
	for _, a := range gone {
		if !slices.ContainsFunc(jobs, func(o *structs.Allocation) bool { return o.Namespace == a.Namespace && o.JobID == a.JobID }) {
			jobs = append(jobs, a)
		}
	}
	slices.SortFunc(jobs, func(a, b *structs.Allocation) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.JobID, b.JobID))
	})
	var out []*structs.Evaluation
	for _, a := range jobs {
		now := d.Now.UnixNano()
		out = append(out, &structs.Evaluation{
			ID: d.NewID(), Namespace: a.Namespace, JobID: a.JobID, Type: a.Job.GetType(), Priority: a.Job.GetPriority(),
			TriggeredBy: structs.TriggerPreemption, Status: structs.EvalStatusPending,
			PreviousEval: d.Eval.ID, CreateTime: now, ModifyTime: now,
		})
	}
	return out
}

// annotate adds what has to go to the annotations.
func (d *decider) annotate(notes *structs.PlanAnnotations, gone []*structs.Allocation) {
	for _, a := range gone {
		notes.PreemptedAllocs = append(notes.PreemptedAllocs, &structs.AllocationListStub{
			ID: a.ID, EvalID: a.EvalID, Name: a.Name, Namespace: a.Namespace, NodeID: a.NodeID, NodeName: a.NodeName,
			JobID: a.JobID, JobType: a.Job.GetType(), JobVersion: a.JobVersion(), TaskGroup: a.TaskGroup,
			AllocatedResources: a.AllocatedResources, DesiredStatus: a.DesiredStatus, ClientStatus: a.ClientStatus,
			DeploymentStatus: a.DeploymentStatus, CreateIndex: a.CreateIndex, ModifyIndex: a.ModifyIndex,
			CreateTime: a.CreateTime, ModifyTime: a.ModifyTime,
		})
	}
	for g := range d.plan.Groups {
		group := &d.plan.Groups[g]
		for r := range group.Rows {
			if u := notes.DesiredTGUpdates[group.TaskGroup]; u != nil {
				u.Preemptions += uint64(len(group.Rows[r].Preempts))
			}
		}
	}
}
