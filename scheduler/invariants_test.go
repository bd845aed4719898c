package scheduler_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// TestInvariants lets random things happen to one job on a small cluster and
// checks after each evaluation what must always hold; at the end the troubles
// stop, and the job must come to have what it wants.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{world: newWorld(t), rt: rt, kind: rapid.SampledFrom([]string{"service", "service", "batch"}).Draw(rt, "type")}
		h.addNode("n1", []string{"cpu=100000", "mem=100000", "cores=60", "device=acme/gpu/one:a,b,c,d,e,f,g,h,i,j,k,l,m,n,o"}) // always room somewhere
		for i := range rapid.IntRange(1, 4).Draw(rt, "nodes") {
			h.addNode(fmt.Sprintf("n%d", i+2), []string{"cpu=300", "mem=1000", "cores=3", "device=acme/gpu/two:a,b!"})
		}
		h.register()
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			h.step()
		}
		h.settle()
	})
}

type history struct {
	*world
	rt   *rapid.T
	kind string
	// scratch serves all evaluations but those that they are compared with.
	scratch scheduler.Scratch
	max     int // max_parallel of the newest version
}

func (h *history) register() {
	count := rapid.IntRange(0, 6).Draw(h.rt, "count")
	words := []string{"type=" + h.kind, fmt.Sprintf("count=%d", count), "image=" + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(h.rt, "image")}
	if h.kind == "service" {
		h.max = rapid.IntRange(0, 3).Draw(h.rt, "max_parallel")
		words = append(words, fmt.Sprintf("max_parallel=%d", h.max), fmt.Sprintf("canary=%d", rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(h.rt, "canary")))
		if rapid.Bool().Draw(h.rt, "disconnect") {
			words = append(words, "lost_after=10m")
		}
	}
	switch rapid.IntRange(0, 3).Draw(h.rt, "things") {
	case 0, 1:
		words = append(words, "static=8080", "port=http")
	case 2:
		words = append(words, "device=gpu:1", "cores=1")
	}
	h.addJob("web", words, nil)
}

func (h *history) step() {
	node := fmt.Sprintf("n%d", rapid.IntRange(2, len(h.nodes)).Draw(h.rt, "node"))
	switch rapid.IntRange(0, 11).Draw(h.rt, "what") {
	case 0:
		h.register()
	case 1:
		h.changeNode(node, "down")
	case 2:
		h.changeNode(node, "disconnect")
	case 3:
		h.recover(node)
	case 4:
		h.now = h.now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(h.rt, "seconds")) * time.Second)
	case 5, 6, 7:
		h.report()
	case 8:
		if d := h.LatestDeployment("default", "web"); d != nil && d.Active() {
			h.changeDeployment("web", rapid.SampledFrom([]string{"promote", "pause", "resume", "fail", "succeed"}).Draw(h.rt, "deployment"))
		}
	case 9:
		if h.jobs["web"] != nil && rapid.IntRange(0, 3).Draw(h.rt, "really") == 0 {
			h.stopJob("web")
		}
	}
	h.evaluate()
}

// recover brings a node back; what it was told was lost it has stopped.
func (h *history) recover(node string) {
	h.changeNode(node, "up")
	for _, a := range h.allocs {
		if a.NodeID == node && a.ClientStatus == structs.AllocClientUnknown {
			h.setAlloc(a.ID, "running")
		}
	}
}

// report has an allocation's client or its watcher say something.
func (h *history) report() {
	var live []string
	for _, a := range h.allocs {
		if n := h.nodes[a.NodeID]; !a.TerminalStatus() && n.Status == structs.NodeStatusReady {
			live = append(live, a.ID)
		}
	}
	if len(live) == 0 {
		return
	}
	id := rapid.SampledFrom(live).Draw(h.rt, "alloc")
	what := rapid.SampledFrom([]string{"running", "healthy", "healthy", "unhealthy", "failed", "migrate", "complete"}).Draw(h.rt, "report")
	if what == "complete" && h.kind == "service" {
		what = "failed"
	}
	h.setAlloc(id, what)
}

func (h *history) evaluate() scheduler.Decision {
	h.index++
	eval := &structs.Evaluation{ID: h.id("e"), Namespace: "default", JobID: "web", Type: h.kind, Priority: 50}
	schedule := func(view scheduler.View, scratch *scheduler.Scratch, annotate bool) scheduler.Decision {
		n := 0
		d, err := scheduler.Schedule(scheduler.Input{
			View: view, Capacity: h.capacity, Eval: eval, Now: h.now, Seed: 3, Annotate: annotate, Scratch: scratch,
			NewID: func() string { n++; return fmt.Sprintf("%s.%d", eval.ID, n) },
		})
		if err != nil {
			h.rt.Fatal(err)
		}
		return d
	}
	d := schedule(h.world, &h.scratch, true)
	was := text(h.rt, d)
	for _, again := range []scheduler.Decision{
		schedule(h.world, nil, true), schedule(h.world, &h.scratch, true), d, schedule(whole{h.world}, nil, true),
	} {
		if is := text(h.rt, again); is != was {
			h.rt.Fatalf("the same input gave\n%s\nand\n%s", was, is)
		}
	}
	if was, is := text(h.rt, schedule(h.world, nil, false)), text(h.rt, schedule(whole{h.world}, nil, false)); is != was {
		h.rt.Fatalf("with allocations told as plain:\n%s\nall seen whole:\n%s", was, is)
	}
	h.checkPlan(d)
	before := len(h.allocs)
	h.apply(d)
	h.out.Reset()
	h.print(d, before, false)
	h.rt.Logf("%s", h.out.String())
	h.checkState(d)
	return d
}

func text(rt *rapid.T, d scheduler.Decision) string {
	b, err := json.Marshal(d)
	if err != nil {
		rt.Fatal(err)
	}
	return string(b)
}

func (h *history) checkPlan(d scheduler.Decision) {
	stopped := map[string]bool{}
	for _, s := range d.Plan.Stops {
		a := h.alloc(s.AllocID)
		if stopped[s.AllocID] || a.ServerTerminal() && s.ClientStatus == "" {
			h.rt.Fatalf("%s is stopped twice", s.AllocID)
		}
		stopped[s.AllocID] = true
	}
	for _, g := range d.Plan.Groups {
		for _, row := range g.Rows {
			if !h.nodes[row.NodeID].Ready() {
				h.rt.Fatalf("placed on %s, which is not ready", row.NodeID)
			}
			if p := row.PreviousAllocation; p != "" && !stopped[p] && h.alloc(p).ClientStatus != structs.AllocClientUnknown && h.nodes[h.alloc(p).NodeID].Status != structs.NodeStatusDisconnected {
				h.rt.Fatalf("%s is replaced but not stopped", p)
			}
		}
	}
}

func (h *history) checkState(d scheduler.Decision) {
	h.checkNodes()
	j := h.jobs["web"]
	tg := j.LookupTaskGroup("g")
	names := map[string]string{}
	running, unhealthy := 0, 0
	for _, a := range h.allocs {
		if a.ServerTerminal() || a.ClientTerminal() && a.ClientStatus != structs.AllocClientComplete || a.ClientStatus == structs.AllocClientUnknown {
			continue
		}
		if a.ClientStatus == structs.AllocClientComplete {
			if h.kind == "batch" && a.JobVersion() == j.GetVersion() && !j.Stopped() {
				h.name(names, a)
			}
			continue
		}
		if a.DeploymentStatus.IsCanary() {
			continue
		}
		running++
		h.name(names, a)
		if a.JobVersion() == j.GetVersion() && !a.DeploymentStatus.IsHealthy() {
			unhealthy++
		}
	}
	if j.Stopped() && running > 0 {
		h.rt.Fatalf("%d allocations of a stopped job", running)
	}
	if running > tg.GetCount() {
		h.rt.Fatalf("%d allocations of %d", running, tg.GetCount())
	}
	u := d.Annotations.DesiredTGUpdates["g"]
	if h.kind == "service" && h.max > 0 && u != nil && u.DestructiveUpdate > 0 && d.Eval.DeploymentID != "" && unhealthy > h.max {
		h.rt.Fatalf("%d unhealthy, max_parallel %d", unhealthy, h.max)
	}
}

func (h *history) name(names map[string]string, a *structs.Allocation) {
	if n := h.nodes[a.NodeID]; n.Status == structs.NodeStatusDisconnected {
		return // its replacement has the same name until it returns
	}
	if other := names[a.Name]; other != "" {
		if h.alloc(other).JobVersion() != a.JobVersion() {
			return // a promoted canary, and what it takes over from
		}
		h.rt.Fatalf("%s and %s are both %s", other, a.ID, a.Name)
	}
	names[a.Name] = a.ID
}

// checkThings checks that an allocation has cores and devices that its node
// offers, and that no other has.
func (h *history) checkThings(n *structs.Node, a *structs.Allocation, taken map[string]string) {
	take := func(thing string, offered bool) {
		if other := taken[thing]; other != "" || !offered && n.Ready() {
			h.rt.Fatalf("%s has %s of %s, offered %t, which %q has", a.ID, thing, n.ID, offered, other)
		}
		taken[thing] = a.ID
	}
	for _, core := range a.AllocatedResources.Tasks["t"].Cpu.ReservedCores {
		take(fmt.Sprint("core ", core), slices.Contains(n.NodeResources.Cpu.ReservableCpuCores, core))
	}
	for _, d := range a.AllocatedResources.Tasks["t"].Devices {
		for _, id := range d.DeviceIDs {
			kind := n.NodeResources.Devices[0]
			take(d.Kind()+" "+id, kind.Kind() == d.Kind() && slices.ContainsFunc(kind.Instances, func(i *structs.NodeDevice) bool { return i.ID == id && i.Healthy }))
		}
	}
}

func (h *history) checkNodes() {
	for _, n := range h.nodes {
		total := n.Comparable()
		var used structs.Comparable
		ports, things := map[int]string{}, map[string]string{}
		for _, a := range h.allocs {
			if a.NodeID != n.ID || a.TerminalStatus() {
				continue
			}
			used.Add(a.AllocatedResources.Comparable())
			h.checkThings(n, a, things)
			for _, p := range a.AllocatedResources.Shared.Ports {
				if other := ports[p.Value]; other != "" {
					h.rt.Fatalf("%s and %s both have port %d of %s", other, a.ID, p.Value, n.ID)
				}
				ports[p.Value] = a.ID
			}
		}
		if over := used.Exceeds(total); over != "" {
			h.rt.Fatalf("%s of %s is overcommitted", over, n.ID)
		}
	}
}

// settle ends all troubles: nodes return, what runs becomes healthy, canaries
// are promoted.
func (h *history) settle() {
	for i := range 6 { // enough nodes for as many static ports
		h.addNode(fmt.Sprintf("n%d", 100+i), nil)
	}
	for i := range len(h.nodes) - 6 {
		h.changeNode(fmt.Sprintf("n%d", i+1), "eligible")
		h.recover(fmt.Sprintf("n%d", i+1))
	}
	if d := h.LatestDeployment("default", "web"); d != nil && !d.Active() || h.jobs["web"].Stopped() {
		h.register() // what a failed deployment holds back needs a new version
	}
	for range 60 {
		h.now = h.now.Add(2 * time.Hour)
		if d := h.LatestDeployment("default", "web"); d != nil && d.Active() {
			h.changeDeployment("web", "resume")
			h.changeDeployment("web", "promote")
		}
		for _, a := range h.allocs {
			switch {
			case a.ServerTerminal():
			case a.ClientStatus == structs.AllocClientFailed:
				h.setAlloc(a.ID, "force") // its attempts are used up, or its deployment decides
			case !a.TerminalStatus():
				h.setAlloc(a.ID, "healthy")
			}
		}
		if h.evaluate().Empty() {
			break
		}
	}
	j := h.jobs["web"]
	have := 0
	for _, a := range h.allocs {
		done := h.kind == "batch" && a.ClientStatus == structs.AllocClientComplete
		if !a.ServerTerminal() && (done || !a.ClientTerminal()) && a.JobVersion() == j.GetVersion() {
			have++
		}
	}
	if want := j.LookupTaskGroup("g").GetCount(); have != want {
		h.rt.Fatalf("%d of %d in the end", have, want)
	}
}
