package rehearse

import (
	"time"

	"github.com/steppe-run/steppe/scheduler/explain"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

func question(snap *state.Snapshot, now time.Time) explain.Input {
	return explain.Input{View: snap, Capacity: capacityOf(snap), Config: snap.SchedulerConfig(), Now: now}
}

// WhyJob says why a job is placed as it is.
func WhyJob(snap *state.Snapshot, now time.Time, job *structs.Job) (*structs.JobWhy, error) {
	return explain.WhyJob(question(snap, now), job)
}

// WhyAlloc says why an allocation is on its node.
func WhyAlloc(snap *state.Snapshot, now time.Time, a *structs.Allocation) *structs.AllocWhy {
	return explain.WhyAlloc(question(snap, now), a)
}

// WhyNot says what keeps a job off a node.
func WhyNot(snap *state.Snapshot, now time.Time, node *structs.Node, job *structs.Job) *structs.NodeWhyNot {
	return explain.WhyNot(question(snap, now), node, job)
}

// Capacity counts how many more of a proposed job's allocations fit.
func Capacity(snap *state.Snapshot, now time.Time, job *structs.Job) *structs.CapacityReport {
	in := question(snap, now)
	in.View = proposal{Snapshot: snap, job: job}
	return explain.Capacity(in, job)
}
