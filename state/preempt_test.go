package state

import (
	"strings"
	"testing"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// equipped is a node with two healthy GPUs, a broken one, and four cores.
func equipped(w *world) string {
	w.t.Helper()
	n := testNode(ids.New())
	n.NodeResources.Cpu.ReservableCpuCores = []uint16{0, 1, 2, 3}
	n.NodeResources.Devices = []*structs.NodeDeviceResource{{
		Vendor: "acme", Type: "gpu", Name: "one",
		Instances: []*structs.NodeDevice{{ID: "a", Healthy: true}, {ID: "b", Healthy: true}, {ID: "broken"}},
	}}
	w.must(&command.RegisterNode{Node: n, Now: w.now})
	return n.ID
}

func gpu(id string) map[string][]*structs.AllocatedDeviceResource {
	return map[string][]*structs.AllocatedDeviceResource{"main": {{Vendor: "acme", Type: "gpu", Name: "one", DeviceIDs: []string{id}}}}
}

func TestNothingIsGivenTwice(t *testing.T) {
	w := newWorld(t)
	node := equipped(w)
	e := w.register(testJob("web", 9))
	first := w.place(e, structs.Placement{NodeID: node, Devices: gpu("a"), Cores: map[string][]uint16{"main": {1, 2}}})[0]
	got := w.snap().Alloc(first).AllocatedResources.Tasks["main"]
	equal(t, "cores", got.Cpu.ReservedCores, []uint16{1, 2})
	equal(t, "devices", got.Devices, gpu("a")["main"])
	e = testEval(testJob("web", 9))
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
	refusals := []struct {
		row  structs.Placement
		want string
	}{
		{structs.Placement{Devices: gpu("a")}, "acme/gpu/one/a in use"},
		{structs.Placement{Devices: gpu("broken")}, "acme/gpu/one/broken is not offered"},
		{structs.Placement{Devices: gpu("z")}, "acme/gpu/one/z is not offered"},
		{structs.Placement{Cores: map[string][]uint16{"main": {2}}}, "core/2 in use"},
		{structs.Placement{Cores: map[string][]uint16{"main": {3, 3}}}, "core/3 in use"},
		{structs.Placement{Cores: map[string][]uint16{"main": {9}}}, "core/9 is not offered"},
	}
	for _, c := range refusals {
		c.row.NodeID = node
		equal(t, c.want, w.refusal(w.plan(e, c.row)), map[string]string{node: c.want})
	}
	p := w.plan(e, structs.Placement{NodeID: node, Devices: gpu("b")}, structs.Placement{NodeID: node, Devices: gpu("b")})
	equal(t, "twice in a plan", w.refusal(p), map[string]string{node: "acme/gpu/one/b in use"})
	p = w.plan(e, structs.Placement{NodeID: node, Devices: gpu("a"), Cores: map[string][]uint16{"main": {1}}})
	p.Stops = []structs.AllocStop{{AllocID: first, DesiredStatus: "stop"}}
	equal(t, "what the plan stops is free", w.refusal(p), map[string]string{})
}

func TestARefusedRowPreemptsNobody(t *testing.T) {
	w := newWorld(t)
	good, gone := w.addNode(), w.addNode()
	low := w.place(w.register(testJob("low", 2)), rowsOn(good, gone)...)
	e := w.register(testJob("high", 2))
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: gone, Status: "down"}}})
	p := w.plan(e, structs.Placement{NodeID: good, Preempts: low[:1]}, structs.Placement{NodeID: gone, Preempts: low[1:]})
	p.Groups[0].Resources = ask(3900, 256) // fits only where the other goes
	refused := w.refusal(p)
	if len(refused) != 1 || !strings.Contains(refused[gone], "down") {
		t.Fatalf("refused: %v", refused)
	}
	winner := ids.Derive(p.Groups[0].Seed, 0)
	victim := w.snap().Alloc(low[0])
	equal(t, "victim", []string{victim.DesiredStatus, victim.DesiredDescription, victim.PreemptedByAllocation},
		[]string{"evict", structs.DescAllocPreempted, winner})
	equal(t, "winner", w.snap().Alloc(winner).PreemptedAllocations, low[:1])
	equal(t, "spared", w.snap().Alloc(low[1]).DesiredStatus, "run")
}

func TestRowsPreemptOnlyWhatIsOnTheirNode(t *testing.T) {
	w := newWorld(t)
	here, there := w.addNode(), w.addNode()
	other := w.place(w.register(testJob("low", 1)), rowsOn(there)...)[0]
	full := w.place(w.register(testJob("full", 1)), rowsOn(here)...)[0]
	e := w.register(testJob("high", 1))
	p := w.plan(e, structs.Placement{NodeID: here, Preempts: []string{other, "no such allocation"}})
	p.Groups[0].Resources = ask(3900, 256)
	equal(t, "refused", w.refusal(p), map[string]string{here: "cpu exhausted"})
	for _, id := range []string{other, full} {
		equal(t, "spared", w.snap().Alloc(id).DesiredStatus, "run")
	}
}

func TestAllAtOnceIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	good, gone := w.addNode(), w.addNode()
	job := testJob("web", 2)
	job.AllAtOnce = ptr(true)
	old := w.place(w.register(job), rowsOn(good)...)[0]
	e := testEval(job)
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: gone, Status: "down"}}})
	p := w.plan(e, rowsOn(good, gone)...)
	p.Stops = []structs.AllocStop{{AllocID: old, DesiredStatus: "stop"}}
	p.Deployment = &structs.Deployment{ID: ids.New(), Namespace: "default", JobID: "web", Status: "running"}
	if refused := w.refusal(p); len(refused) != 1 {
		t.Fatalf("refused: %v", refused)
	}
	equal(t, "placed", w.snap().Alloc(ids.Derive(p.Groups[0].Seed, 0)) == nil, true)
	equal(t, "stopped", w.snap().Alloc(old).DesiredStatus, "run")
	equal(t, "deployment", w.snap().Deployment(p.Deployment.ID) == nil, true)
}
