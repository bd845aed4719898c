package state

import (
	"testing"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// A report may come twice, or after a later one: then it says nothing.
func TestAReportThatWasOvertakenSaysNothing(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	id := w.place(w.register(testJob("web", 1)), rowsOn(node)...)[0]
	report := func(status string, order uint64) string {
		w.must(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: id, ClientStatus: status, Order: order}}})
		return w.snap().Alloc(id).ClientStatus
	}
	pending, running := structs.AllocClientPending, structs.AllocClientRunning
	for i, step := range []struct {
		says  string
		order uint64
		is    string
	}{
		{pending, structs.ReportOrder(7, 1), pending},
		{running, structs.ReportOrder(7, 2), running},
		{pending, structs.ReportOrder(7, 1), running},
		{pending, structs.ReportOrder(7, 3), pending},
		{running, structs.ReportOrder(9, 1), running}, // it was registered again
		{pending, structs.ReportOrder(7, 1<<30), running},
		{pending, 0, pending}, // from an older release
	} {
		if got := report(step.says, step.order); got != step.is {
			t.Errorf("step %d: the allocation is %s, want %s", i, got, step.is)
		}
	}
}

// A node that has forgotten that an allocation failed, and runs it again, can't
// make it healthy any more.
func TestWhatHasEndedDoesNotBecomeHealthy(t *testing.T) {
	for _, ended := range []string{structs.AllocClientFailed, structs.AllocClientComplete} {
		w := newWorld(t)
		id := w.place(w.register(testJob("web", 1)), rowsOn(w.addNode())...)[0]
		w.report(id, ended)
		w.must(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{
			ID: id, ClientStatus: structs.AllocClientRunning, DeploymentStatus: &structs.AllocDeploymentStatus{Healthy: ptr(true)},
		}}})
		a := w.snap().Alloc(id)
		equal(t, ended, []any{a.ClientStatus, a.DeploymentStatus.IsHealthy()}, []any{ended, false})
		w.must(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{
			ID: id, ClientStatus: ended, DeploymentStatus: &structs.AllocDeploymentStatus{Healthy: ptr(false)},
		}}})
		equal(t, "unhealthy is true", w.snap().Alloc(id).DeploymentStatus.IsUnhealthy(), true)
	}
}
