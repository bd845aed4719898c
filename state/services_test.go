package state

import (
	"testing"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestServicesOfWhatIsOutOfSightAreTakenBack(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 1))
	id := w.place(e, rowsOn(node)...)[0]
	put := func(health string) {
		w.must(&command.UpsertServices{Services: []*structs.ServiceRegistration{
			{ID: "s", ServiceName: "api", Namespace: "default", NodeID: node, JobID: "web", AllocID: id, Health: health},
		}})
	}
	health := func() string {
		if r := w.snap().Service("default", "s"); r != nil {
			return r.Health
		}
		return "not registered"
	}
	put("pending")
	equal(t, "at first", health(), "pending")
	put("success")
	put("pending")
	equal(t, "an agent that has begun anew", health(), "success")
	p := w.plan(w.register(testJob("web", 2)))
	p.Marks = []structs.AllocMark{{AllocID: id, ClientStatus: "unknown", DesiredDescription: structs.DescAllocUnknown}}
	w.refusal(p)
	equal(t, "its node is away", health(), "not registered")
	put("failure")
	equal(t, "its node is back", health(), "failure")
}
