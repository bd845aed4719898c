package rehearse

import (
	"time"

	"github.com/steppe-run/steppe/scheduler/explain"
	"github.com/steppe-run/steppe/structs"
)

func question(on Seat, now time.Time) explain.Input {
	return explain.Input{View: on.Snap, Capacity: on.Capacity, Config: on.Snap.SchedulerConfig(), Now: now}
}

// WhyJob says why a job is placed as it is.
func WhyJob(on Seat, now time.Time, job *structs.Job) (*structs.JobWhy, error) {
	return explain.WhyJob(question(on, now), job)
}

// WhyAlloc says why an allocation is on its node.
func WhyAlloc(on Seat, now time.Time, a *structs.Allocation) *structs.AllocWhy {
	return explain.WhyAlloc(question(on, now), a)
}

// WhyNot says what keeps a job off a node.
func WhyNot(on Seat, now time.Time, node *structs.Node, job *structs.Job) *structs.NodeWhyNot {
	return explain.WhyNot(question(on, now), node, job)
}

// Capacity counts how many more of a proposed job's allocations fit.
func Capacity(on Seat, now time.Time, job *structs.Job) *structs.CapacityReport {
	in := question(on, now)
	in.View = proposal{Snapshot: on.Snap, job: job}
	return explain.Capacity(in, job)
}
