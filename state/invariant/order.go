package invariant

import (
	"fmt"

	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// inFlight is how often an evaluation may be passed over: that many decisions may be
// on their way, and its own may be refused meanwhile and made again.
const inFlight = 8

// inOrder looks at the evaluations that the entry decides. One of higher priority
// that waits still, and was ready before they were, should have been decided first,
// unless another one of its job has to be before it.
func inOrder(s *Step) []string {
	var out []string
	for i := range s.Change.Events {
		ev := &s.Change.Events[i]
		if ev.Table() != feed.TableEvals {
			continue
		}
		was, _ := ev.Old().(*structs.Evaluation)
		is, _ := ev.New().(*structs.Evaluation)
		if was == nil || is == nil || was.Status != structs.EvalStatusPending || is.Status != structs.EvalStatusComplete && is.Status != structs.EvalStatusBlocked {
			continue
		}
		for e := range s.After.EvalsByStatus(structs.EvalStatusPending) {
			if e.Priority <= was.Priority || e.ModifyIndex >= was.ModifyIndex || !e.WaitUntil.IsZero() || !alone(s, e) {
				continue
			}
			if s.memory.passed[e.ID]++; s.memory.passed[e.ID] > inFlight {
				out = append(out, fmt.Sprintf("evaluation %s of job %s, priority %d, is decided before %s of job %s, priority %d, which was ready earlier",
					is.ID, is.JobID, is.Priority, e.ID, e.JobID, e.Priority))
			}
		}
	}
	return out
}

// alone reports whether no other evaluation of its job was pending, or was decided,
// since one came.
func alone(s *Step, e *structs.Evaluation) bool {
	for other := range s.After.EvalsByJob(e.Namespace, e.JobID) {
		if other.ID != e.ID && (other.Status == structs.EvalStatusPending || other.ModifyIndex > e.ModifyIndex) {
			return false
		}
	}
	return true
}
