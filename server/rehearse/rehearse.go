// Package rehearse schedules a job that is only proposed, on the state as it is,
// and stores nothing.
//
// What the nodes have left is an index that follows the state, kept at a Desk. The placer's own index is not borrowed: it
// runs ahead of the state by what is in flight, it is changed while it is used,
// and it exists on the leader only, whereas any server can rehearse.
//
// It must not know who asks. Begin reading at Desk, then Job.
package rehearse

import (
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Job schedules the proposed job (see Succeed) on what
// the nodes have left. The evaluation is the one that registering would make.
func Job(on Seat, job *structs.Job, eval *structs.Evaluation) (scheduler.Decision, error) {
	snap := on.Snap
	eval.AnnotatePlan = true
	decision, err := scheduler.Schedule(scheduler.Input{
		View:     proposal{Snapshot: snap, job: job},
		Capacity: on.Capacity,
		Running:  snap,
		Config:   snap.SchedulerConfig(),
		Eval:     eval,
		Now:      time.Unix(0, eval.CreateTime),
		Seed:     snap.Index(),
		NewID:    ids.New,
		Annotate: true,
	})
	if err != nil {
		return scheduler.Decision{}, fmt.Errorf("plan job: %w", err)
	}
	return decision, nil
}

// proposal is a snapshot in which one job is another.
type proposal struct {
	*state.Snapshot
	job *structs.Job
}

// Job implements scheduler.View.
func (p proposal) Job(namespace, id string) *structs.Job {
	if p.job.GetNamespace() == namespace && p.job.GetID() == id {
		return p.job
	}
	return p.Snapshot.Job(namespace, id)
}

// Succeed gives a proposed job the bookkeeping that it would be stored with in
// the place of old (nil: it is new).
func Succeed(old, job *structs.Job, index uint64) *structs.Job {
	version, created := uint64(0), index
	if old != nil {
		if !old.Stopped() && !structs.SpecChanged(old, job) {
			return old
		}
		version, created = old.GetVersion()+1, old.GetCreateIndex()
	}
	job.Version, job.CreateIndex = &version, &created
	job.ModifyIndex, job.JobModifyIndex = &index, &index
	return job
}
