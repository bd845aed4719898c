// Package evals makes the evaluations that follow from an event: one a job that
// it concerns, in an order that doesn't depend on chance.
//
// It must not know how evaluations are stored or scheduled. Begin reading at
// Maker.
package evals

import (
	"slices"
	"time"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Maker makes evaluations; NewID names them.
type Maker struct {
	NewID func() string
}

// collect adds to wanted an evaluation for each job with allocations on a node
// that has none there yet.
func (m Maker) collect(snap *state.Snapshot, wanted map[structs.NamespacedID]*structs.Evaluation, nodeID, trigger string, now time.Time) {
	for a := range snap.AllocsByNode(nodeID) {
		key := a.JobNamespacedID()
		if wanted[key] != nil || a.ClientTerminal() {
			continue
		}
		job := snap.Job(a.Namespace, a.JobID)
		if job == nil {
			job = a.Job // purged: what is left of it must be cleared away
		}
		wanted[key] = m.at(job, snap.Node(nodeID), nodeID, trigger, now)
	}
}

// ForNode makes an evaluation for each job with allocations on a node, and for
// each that runs on every node and may have one there.
func (m Maker) ForNode(snap *state.Snapshot, n *structs.Node, trigger string, now time.Time) []*structs.Evaluation {
	wanted := map[structs.NamespacedID]*structs.Evaluation{}
	m.collect(snap, wanted, n.ID, trigger, now)
	for job := range snap.JobsFor(n) {
		if key := job.NamespacedID(); wanted[key] == nil {
			wanted[key] = m.at(job, n, n.ID, trigger, now)
		}
	}
	return Sorted(wanted)
}

// at makes an evaluation because of a node, which may be gone.
func (m Maker) at(job *structs.Job, n *structs.Node, nodeID, trigger string, now time.Time) *structs.Evaluation {
	e := m.New(job, trigger, now)
	e.NodeID = nodeID
	if n != nil {
		e.NodeModifyIndex = n.ModifyIndex
	}
	return e
}

// New makes a pending evaluation of a job.
func (m Maker) New(job *structs.Job, trigger string, now time.Time) *structs.Evaluation {
	return &structs.Evaluation{
		ID:             m.NewID(),
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

// Sorted returns evaluations in the order of namespace and job.
func Sorted(evals map[structs.NamespacedID]*structs.Evaluation) []*structs.Evaluation {
	var out []*structs.Evaluation
	for _, e := range evals {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *structs.Evaluation) int {
		return slices.Compare([]string{a.Namespace, a.JobID}, []string{b.Namespace, b.JobID})
	})
	return out
}

// IDs returns the IDs of evaluations.
func IDs(evals []*structs.Evaluation) []string {
	out := make([]string, 0, len(evals))
	for _, e := range evals {
		out = append(out, e.ID)
	}
	return out
}

// CreateIndex is the index at which so many evaluations were stored, 0 if there
// are none.
func CreateIndex(n int, index uint64) uint64 {
	if n == 0 {
		return 0
	}
	return index
}
