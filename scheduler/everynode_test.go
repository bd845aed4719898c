package scheduler_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// TestEveryNode lets random things happen to a job that runs on every node. After
// each evaluation no node has two of it, none was started where it doesn't belong,
// no node carries more than it can, and no updates beyond max_parallel are under
// way. When troubles end it runs on every node that suits it and has room, at the
// newest version.
func TestEveryNode(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &everyNode{world: newWorld(t), rt: rt, kind: rapid.SampledFrom([]string{"system", "system", "sysbatch"}).Draw(rt, "type")}
		for i := range rapid.IntRange(1, 5).Draw(rt, "nodes") {
			h.addNode(fmt.Sprint("n", i+1), []string{"cpu=500"})
		}
		h.addNode("small", []string{"cpu=100"}) // never has room
		h.register()
		for range rapid.IntRange(3, 30).Draw(rt, "steps") {
			h.step()
			h.evaluate()
		}
		h.settle()
	})
}

type everyNode struct {
	*world
	rt   *rapid.T
	kind string
	max  int
	// scratch serves all evaluations.
	scratch scheduler.Scratch
}

func (h *everyNode) register() {
	words := []string{
		"type=" + h.kind, "cpu=200", "image=" + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(h.rt, "image"),
		"dc=" + rapid.SampledFrom([]string{"*", "dc1", "dc1,dc2"}).Draw(h.rt, "dc"),
	}
	if h.max = 0; h.kind == "system" {
		h.max = rapid.IntRange(0, 3).Draw(h.rt, "max_parallel")
		words = append(words, fmt.Sprint("max_parallel=", h.max),
			fmt.Sprint("stagger=", rapid.SampledFrom([]string{"0s", "1m"}).Draw(h.rt, "stagger")),
			fmt.Sprint("canary=", rapid.SampledFrom([]int{0, 0, 30, 100}).Draw(h.rt, "canary")))
	}
	h.addJob("agent", words, nil)
}

func (h *everyNode) step() {
	node := rapid.SampledFrom(sorted(h.nodes)).Draw(h.rt, "node")
	switch what := rapid.SampledFrom([]string{
		"register", "down", "up", "up", "ineligible", "eligible", "disconnect", "move", "join", "clock", "report", "report", "report", "deployment",
	}).Draw(h.rt, "what"); what {
	case "register":
		h.register()
	case "move":
		n := *h.nodes[node]
		n.Datacenter = rapid.SampledFrom([]string{"dc1", "dc2", "dc3"}).Draw(h.rt, "to")
		h.putNode(&n)
	case "join":
		h.addNode(fmt.Sprint("n", len(h.nodes)+1), []string{"cpu=500"})
	case "clock":
		h.now = h.now.Add(time.Duration(rapid.IntRange(1, 120).Draw(h.rt, "seconds")) * time.Second)
	case "report":
		h.report()
	case "deployment":
		if d := h.LatestDeployment("default", "agent"); d != nil && d.Active() {
			h.changeDeployment("agent", rapid.SampledFrom([]string{"promote", "pause", "resume", "fail", "succeed"}).Draw(h.rt, "verb"))
		}
	default:
		h.changeNode(node, what)
	}
}

func (h *everyNode) report() {
	var live []string
	for _, a := range h.allocs {
		if n := h.nodes[a.NodeID]; !a.TerminalStatus() && n.Status == structs.NodeStatusReady {
			live = append(live, a.ID)
		}
	}
	if len(live) > 0 {
		h.setAlloc(rapid.SampledFrom(live).Draw(h.rt, "alloc"),
			rapid.SampledFrom([]string{"running", "healthy", "healthy", "unhealthy", "failed", "migrate", "complete"}).Draw(h.rt, "report"))
	}
}

// evaluate decides and applies until nothing is left, and looks at the outcome.
func (h *everyNode) evaluate() {
	for more := true; more; {
		h.index++
		before := len(h.allocs)
		d, err := scheduler.Schedule(scheduler.Input{
			View: h.world, Capacity: h.capacity, Scratch: &h.scratch, Running: h, Config: &h.config, Now: h.now, Seed: 7,
			Eval:  &structs.Evaluation{ID: h.id("e"), Namespace: "default", JobID: "agent", Type: h.kind, Priority: 50},
			NewID: func() string { return h.id("e") },
		})
		if err != nil {
			h.rt.Fatal(err)
		}
		h.apply(d)
		h.placedWell(h.allocs[before:])
		more = d.More
	}
	h.oncePerNode()
}

func (h *everyNode) suits(n *structs.Node) bool {
	return n.Ready() && n.InDatacenters(h.jobs["agent"].Datacenters)
}

func (h *everyNode) placedWell(placed []*structs.Allocation) {
	updating := 0
	for _, a := range placed {
		n := h.nodes[a.NodeID]
		if !n.Ready() || !n.InDatacenters(a.Job.Datacenters) {
			h.rt.Fatalf("%s was started on %s, where it doesn't belong", a.ID, n.ID)
		}
		if n.ID == "small" {
			h.rt.Fatalf("%s was started without room", a.ID)
		}
		if old := h.before(a); old != nil && old.DesiredDescription == structs.DescAllocUpdating && !a.DeploymentStatus.IsCanary() {
			updating++
		}
	}
	if d := h.LatestDeployment("default", "agent"); h.max > 0 && d.Active() && updating > h.max {
		h.rt.Fatalf("%d are updated at a time, max_parallel is %d", updating, h.max)
	}
}

// before is the allocation that was on the node last.
func (h *everyNode) before(a *structs.Allocation) *structs.Allocation {
	for _, b := range slices.Backward(h.allocs) {
		if b.NodeID == a.NodeID && b.CreateIndex < a.CreateIndex {
			return b
		}
	}
	return nil
}

func (h *everyNode) oncePerNode() {
	on := map[string]int{}
	for _, a := range h.allocs {
		if !a.TerminalStatus() {
			on[a.NodeID]++
		}
	}
	for node, n := range on {
		if n > 1 {
			h.rt.Fatalf("%s has %d", node, n)
		}
	}
}

// settle ends all troubles: what starts becomes healthy, or ends well, and people
// promote what waits for it.
func (h *everyNode) settle() {
	for _, name := range sorted(h.nodes) {
		h.changeNode(name, "up")
		h.changeNode(name, "eligible")
	}
	if h.kind == "system" { // what failed has its cure
		h.addJob("agent", []string{"type=system", "cpu=200", "image=cure", fmt.Sprint("max_parallel=", max(1, h.max)), "canary=30", "stagger=20s"}, nil)
	}
	for range 40 {
		h.evaluate()
		for _, a := range h.allocs {
			if !a.TerminalStatus() {
				h.setAlloc(a.ID, map[string]string{"system": "healthy", "sysbatch": "complete"}[h.kind])
			}
		}
		if d := h.LatestDeployment("default", "agent"); d.Active() {
			h.changeDeployment("agent", "resume")
			h.changeDeployment("agent", "promote")
		}
		h.now = h.now.Add(time.Minute)
	}
	h.everywhere()
}

// everywhere checks that the newest version runs, or has run, on every node that
// suits it and has room.
func (h *everyNode) everywhere() {
	for _, name := range sorted(h.nodes) {
		n, have := h.nodes[name], false
		for _, a := range h.allocs {
			newest := a.NodeID == name && a.JobVersion() == h.jobs["agent"].GetVersion() && a.DesiredStatus == structs.AllocDesiredRun
			have = have || newest && (h.kind == "system" && !a.TerminalStatus() || h.kind == "sysbatch" && a.ClientTerminal())
		}
		if want := h.suits(n) && name != "small"; have != want && (want || h.kind == "system") {
			h.out.Reset()
			h.printAllocs("agent")
			h.rt.Fatalf("%s in %s: has it %t, wants it %t of version %d\n%s", name, n.Datacenter, have, want, h.jobs["agent"].GetVersion(), h.out.String())
		}
	}
}

// BenchmarkEveryNode decides a system job on many nodes: the first time, a round in
// which nothing is to be done, and one in which a node has come.
func BenchmarkEveryNode(b *testing.B) {
	for _, n := range []int{1_000, 5_000} {
		p, c := farm(n, 5)
		p.job = service(1)
		p.job.Type, p.job.TaskGroups[0].Update = ptr("system"), &structs.UpdateStrategy{MaxParallel: ptr(10)}
		decide := func(b *testing.B) scheduler.Decision {
			d, err := scheduler.Schedule(scheduler.Input{
				View: p, Capacity: c, Eval: &structs.Evaluation{ID: "e", Namespace: "default", JobID: "web", Type: "system"},
				Now: time.Unix(1_700_000_000, 0), Seed: 7, NewID: func() string { return "00000000-0000-4000-9000-000000000001" },
			})
			if err != nil {
				b.Fatal(err)
			}
			return d
		}
		b.Run(fmt.Sprintf("nodes=%d/first", n), func(b *testing.B) {
			for b.Loop() {
				if d := decide(b); len(d.Plan.Groups) != 1 || len(d.Plan.Groups[0].Rows) != n {
					b.Fatal("not on every node")
				}
			}
		})
		for id := range p.nodes {
			p.allocs = append(p.allocs, &structs.Allocation{
				ID: "a" + id[1:], Namespace: "default", JobID: "web", TaskGroup: "web", Name: "web.web[0]", NodeID: id, Job: p.job,
				DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientRunning,
			})
		}
		b.Run(fmt.Sprintf("nodes=%d/again", n), func(b *testing.B) {
			for b.Loop() {
				if d := decide(b); !d.Empty() {
					b.Fatal("something is to be done")
				}
			}
		})
		p.allocs = p.allocs[1:]
		b.Run(fmt.Sprintf("nodes=%d/one", n), func(b *testing.B) {
			for b.Loop() {
				if d := decide(b); len(d.Plan.Groups) != 1 || len(d.Plan.Groups[0].Rows) != 1 {
					b.Fatal("not on the one node")
				}
			}
		})
		p.job = p.job.Clone()
		p.job.Version, p.job.TaskGroups[0].Tasks[0].Config = ptr(uint64(1)), map[string]any{"image": "new"}
		b.Run(fmt.Sprintf("nodes=%d/update", n), func(b *testing.B) {
			for b.Loop() {
				if d := decide(b); len(d.Plan.Stops) != 10 {
					b.Fatal("not max_parallel nodes are updated, but ", len(d.Plan.Stops))
				}
			}
		})
	}
}
