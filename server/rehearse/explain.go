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

// Drain says what draining a node would do. While it runs, what the seat's index
// counts is changed.
func Drain(on Seat, now time.Time, node *structs.Node, spec structs.DrainSpec) (*structs.DrainPlan, error) {
	return explain.Drain(question(on, now), node, spec)
}

// On lists the jobs that have allocations on a node.
func On(on Seat, nodeID string) []*structs.Job {
	var out []*structs.Job
	seen := map[structs.NamespacedID]bool{}
	for a := range on.Snap.AllocsByNode(nodeID) {
		id := a.JobNamespacedID()
		if a.TerminalStatus() || seen[id] {
			continue
		}
		seen[id] = true
		if job := on.Snap.Job(id.Namespace, id.ID); job != nil {
			out = append(out, job)
		}
	}
	return out
}
