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
