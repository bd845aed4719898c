package server

import (
	"fmt"
	"slices"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// nodeEvals makes an evaluation for each job with allocations on a node.
func nodeEvals(snap *state.Snapshot, nodeID, trigger string, now time.Time) []*structs.Evaluation {
	wanted := map[structs.NamespacedID]*structs.Evaluation{}
	collectEvals(snap, wanted, nodeID, trigger, now)
	return sorted(wanted)
}

func collectEvals(snap *state.Snapshot, wanted map[structs.NamespacedID]*structs.Evaluation, nodeID, trigger string, now time.Time) {
	for a := range snap.AllocsByNode(nodeID) {
		key := a.JobNamespacedID()
		if wanted[key] != nil || a.ClientTerminal() {
			continue
		}
		job := snap.Job(a.Namespace, a.JobID)
		if job == nil {
			job = a.Job // purged: what is left of it must be cleared away
		}
		e := newEval(job, trigger, now)
		e.NodeID = nodeID
		if n := snap.Node(nodeID); n != nil {
			e.NodeModifyIndex = n.ModifyIndex
		}
		wanted[key] = e
	}
}

// newEval makes a pending evaluation of a job.
func newEval(job *structs.Job, trigger string, now time.Time) *structs.Evaluation {
	return &structs.Evaluation{
		ID:             ids.New(),
		Namespace:      job.GetNamespace(),
		Priority:       job.GetPriority(),
		Type:           job.GetType(),
		TriggeredBy:    trigger,
		JobID:          job.GetID(),
		JobModifyIndex: job.GetJobModifyIndex(),
		Status:         structs.EvalStatusPending,
		CreateTime:     now.UnixNano(),
		ModifyTime:     now.UnixNano(),
	}
}

func sorted(evals map[structs.NamespacedID]*structs.Evaluation) []*structs.Evaluation {
	var out []*structs.Evaluation
	for _, e := range evals {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *structs.Evaluation) int {
		return slices.Compare([]string{a.Namespace, a.JobID}, []string{b.Namespace, b.JobID})
	})
	return out
}

func evalIDs(evals []*structs.Evaluation) []string {
	out := make([]string, 0, len(evals))
	for _, e := range evals {
		out = append(out, e.ID)
	}
	return out
}

// createIndex is the index at which evaluations were stored, 0 if there are
// none.
func createIndex(evals []*structs.Evaluation, index uint64) uint64 {
	if len(evals) == 0 {
		return 0
	}
	return index
}

func nodeEvent(subsystem, message string, now time.Time) *structs.NodeEvent {
	return &structs.NodeEvent{Message: message, Subsystem: subsystem, Timestamp: now}
}

// indexOf returns the index of any of the store's results.
func indexOf(result any) uint64 {
	switch r := result.(type) {
	case *state.Applied:
		return r.Index
	case *state.NodeResult:
		return r.Index
	case *state.JobResult:
		return r.Index
	case *state.DeploymentResult:
		return r.Index
	case *state.PlanResult:
		return r.Index
	case *state.SweepResult:
		return r.Index
	}
	panic(fmt.Sprintf("result %T has no index", result)) // a new kind of result must be added above
}
