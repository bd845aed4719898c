package explain

import (
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/structs"
)

// world is a cluster that explanations look at.
type world struct {
	nodes  []*structs.Node
	byID   map[string]*structs.Node
	allocs []*structs.Allocation
	job    *structs.Job
}

func (w *world) Job(string, string) *structs.Job                     { return w.job }
func (w *world) NodePool(string) *structs.NodePool                   { return nil }
func (w *world) Eval(string) *structs.Evaluation                     { return nil }
func (w *world) LatestDeployment(string, string) *structs.Deployment { return nil }
func (w *world) EvalsByJob(string, string) iter.Seq[*structs.Evaluation] {
	return func(func(*structs.Evaluation) bool) {}
}
func (w *world) JobAllocs(_, id string, _ func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	return w.where(func(a *structs.Allocation) bool { return a.JobID == id })
}
func (w *world) AllocsByNode(id string) iter.Seq[*structs.Allocation] {
	return w.where(func(a *structs.Allocation) bool { return a.NodeID == id })
}

func (w *world) Node(id string) *structs.Node {
	if len(w.byID) != len(w.nodes) {
		w.byID = map[string]*structs.Node{}
		for _, n := range w.nodes {
			w.byID[n.ID] = n
		}
	}
	return w.byID[id]
}

func (w *world) Nodes(string) iter.Seq[*structs.Node] {
	return func(yield func(*structs.Node) bool) {
		for _, n := range w.nodes {
			if !yield(n) {
				return
			}
		}
	}
}

func (w *world) where(ok func(*structs.Allocation) bool) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for _, a := range w.allocs {
			if ok(a) && !yield(a) {
				return
			}
		}
	}
}

func (w *world) input() Input {
	x := scheduler.NewCapacity()
	for _, n := range w.nodes {
		x.UpsertNode(n)
	}
	for _, a := range w.allocs {
		x.SetAlloc(a)
	}
	return Input{View: w, Capacity: x, Now: time.Unix(1_700_000_000, 0)}
}

func (w *world) node(name, class string, cpu, memory int) {
	w.nodes = append(w.nodes, &structs.Node{
		ID: name, Name: name, NodePool: "default", Datacenter: "dc1", NodeClass: class, Status: structs.NodeStatusReady,
		SchedulingEligibility: structs.NodeEligible, Attributes: map[string]string{"rack": class},
		Drivers: map[string]*structs.DriverInfo{"mock": {Detected: true, Healthy: true}},
		NodeResources: &structs.NodeResources{
			Cpu: structs.NodeCpuResources{CpuShares: int64(cpu)}, Memory: structs.NodeMemoryResources{MemoryMB: int64(memory)},
			Disk: structs.NodeDiskResources{DiskMB: 10_000}, MinDynamicPort: 20_000, MaxDynamicPort: 20_005,
		},
	})
}

func ptr[T any](v T) *T { return &v }

func newJob(count, cpu, memory int) *structs.Job {
	return &structs.Job{
		ID: ptr("web"), Name: ptr("web"), Namespace: ptr("default"), Type: ptr("service"), Priority: ptr(50), NodePool: ptr("default"),
		Datacenters: []string{"*"}, Version: ptr(uint64(0)), CreateIndex: ptr(uint64(1)), JobModifyIndex: ptr(uint64(1)),
		TaskGroups: []*structs.TaskGroup{{
			Name: ptr("web"), Count: &count, EphemeralDisk: &structs.EphemeralDisk{SizeMB: ptr(300)},
			Tasks: []*structs.Task{{Name: "t", Driver: "mock", Resources: &structs.Resources{CPU: &cpu, MemoryMB: &memory}}},
		}},
	}
}

func (w *world) run(name, node string, port int) {
	res := w.job.TaskGroups[0].AllocatedResources()
	if port > 0 {
		res.Shared.Ports = []structs.PortMapping{{Label: "http", Value: port}}
	}
	w.allocs = append(w.allocs, &structs.Allocation{
		ID: name, Name: name, Namespace: "default", JobID: "web", TaskGroup: "web", NodeID: node, NodeName: node, Job: w.job,
		DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientRunning, AllocatedResources: res,
		Metrics: &structs.AllocationMetric{NodesEvaluated: 3, ScoreMetaData: []*structs.NodeScoreMeta{{NodeID: node, NormScore: 0.5}}},
	})
}

// TestCapacityIsWhatTheSchedulerPlaces counts how many fit, then has the
// scheduler place exactly so many, and one more.
func TestCapacityIsWhatTheSchedulerPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{}
		for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
			class := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "class")
			w.node(fmt.Sprintf("n%d", i), class, 500*rapid.IntRange(0, 6).Draw(t, "cpu"), 500*rapid.IntRange(0, 6).Draw(t, "memory"))
		}
		w.job = newJob(1, 100*rapid.IntRange(1, 8).Draw(t, "ask"), 100*rapid.IntRange(1, 8).Draw(t, "ask memory"))
		g := w.job.TaskGroups[0]
		switch rapid.IntRange(0, 4).Draw(t, "limit") {
		case 0:
			g.Constraints = []*structs.Constraint{{Operand: structs.OpDistinctHosts}}
		case 1:
			g.Constraints = []*structs.Constraint{{LTarget: "${attr.rack}", Operand: structs.OpDistinctProperty, RTarget: "2"}}
		case 2:
			g.Constraints = []*structs.Constraint{{LTarget: "${attr.rack}", Operand: "!=", RTarget: "a"}}
		case 3:
			g.Networks = []*structs.NetworkResource{{DynamicPorts: []structs.Port{{Label: "a"}, {Label: "b"}}}}
		}
		r := Capacity(w.input(), w.job)
		n := r.Groups[0].Count
		for count, want := range map[int]int{n: n, n + 1: n} {
			g.Count = &count
			placed, missing := w.schedule(t)
			if placed != want || missing != count-want {
				t.Fatalf("%d fit, of %d the scheduler places %d", n, count, placed)
			}
		}
		if r.Fits != (n >= 1) || r.Groups[0].Next.Fitting != 0 {
			t.Fatalf("%d fit, report %+v, next %+v", n, r, r.Groups[0].Next)
		}
	})
}

// Counting by placing ends somewhere, all groups together, and says so.
func TestCountingByPlacingEnds(t *testing.T) {
	w := &world{job: newJob(1, 1, 1)}
	for i := range 12 {
		w.node(fmt.Sprint("n", i), "a", 100_000, 100_000)
		w.nodes[i].NodeResources.MaxDynamicPort, w.nodes[i].NodeResources.Disk.DiskMB = 32_000, 10_000_000
	}
	g := w.job.TaskGroups[0]
	g.Networks = []*structs.NetworkResource{{DynamicPorts: []structs.Port{{Label: "http"}}}}
	other := *g
	other.Name = ptr("other")
	w.job.TaskGroups = append(w.job.TaskGroups, &other)
	for _, c := range Capacity(w.input(), w.job).Groups {
		if c.Count != MaxCounted/2 || !c.AtLeast || !strings.Contains(c.Summary, "at least") {
			t.Errorf("%s: %d fit, at least %v: %s", c.Group, c.Count, c.AtLeast, c.Summary)
		}
	}
	g.Networks = nil // from here on amounts decide
	want := 12 * min(100_000/1, 10_000_000/300)
	if c := Capacity(w.input(), w.job).Groups[0]; c.Count != want || c.AtLeast || c.NodesUsed != 12 {
		t.Errorf("%d fit, want %d: %s", c.Count, want, c.Summary)
	}
}

func (w *world) schedule(t *rapid.T) (placed, missing int) {
	in := w.input()
	d, err := in.rehearse(w.job)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range d.Plan.Groups {
		placed += len(g.Rows)
	}
	if m := d.Eval.FailedTGAllocs["web"]; m != nil {
		missing = m.CoalescedFailures + 1
	}
	return placed, missing
}

func TestWhyNotNamesEveryObstacle(t *testing.T) {
	w := &world{job: newJob(3, 400, 2000)}
	w.node("full", "a", 1000, 1000)
	w.node("free", "b", 4000, 4000)
	g := w.job.TaskGroups[0]
	g.Networks = []*structs.NetworkResource{{ReservedPorts: []structs.Port{{Label: "http", Value: 80}}}}
	g.Constraints = []*structs.Constraint{{LTarget: "${attr.rack}", Operand: "=", RTarget: "b"}, {Operand: structs.OpDistinctHosts}}
	w.run("web.web[0]", "full", 80)
	why := WhyNot(w.input(), w.nodes[0], w.job)
	on := why.Groups[0]
	for _, want := range []string{
		"${attr.rack} = b (it is: a)", "distinct_hosts (it is: 1 there already)", "memory (needs 2000 MiB, has",
		"port 80 (http) is held by web.web[0]",
	} {
		if !strings.Contains(on.Summary, want) {
			t.Errorf("%q is missing in %s", want, on.Summary)
		}
	}
	if on.Fits || on.Rank != 0 || len(on.Running) != 1 || len(on.Conditions) != 2 || len(on.Ports) != 1 || on.Best.NodeID != "free" {
		t.Errorf("%+v", on)
	}
	fits := WhyNot(w.input(), w.nodes[1], w.job)
	if !fits.Groups[0].Fits || fits.Groups[0].Rank != 1 || !strings.Contains(fits.Summary, "would be chosen") {
		t.Errorf("%s %+v", fits.Summary, fits.Groups[0])
	}
	w.nodes[1].SchedulingEligibility = structs.NodeIneligible
	closed := WhyNot(w.input(), w.nodes[1], w.job)
	if closed.Groups[0].Fits || !strings.Contains(closed.Summary, ": it is ineligible.") {
		t.Errorf("%s", closed.Summary)
	}
}

// TestRoomByPreemption has a job of high priority ask for room that jobs of low
// priority have.
func TestRoomByPreemption(t *testing.T) {
	w := &world{job: newJob(1, 600, 600)}
	w.node("taken", "a", 2000, 2000)
	w.node("mixed", "b", 2000, 2000)
	w.job.ID, w.job.Priority = ptr("low"), ptr(20)
	for i, node := range []string{"taken", "taken", "taken", "mixed"} {
		w.run(fmt.Sprintf("low.web[%d]", i), node, 0)
		w.allocs[i].JobID = "low"
	}
	peer := *w.job
	peer.ID, peer.Priority = ptr("peer"), ptr(75)
	for i := range 2 {
		w.run(fmt.Sprintf("peer.web[%d]", i), "mixed", 0)
		w.allocs[4+i].JobID, w.allocs[4+i].Job = "peer", &peer
	}
	w.job = newJob(1, 900, 900)
	w.job.Priority = ptr(80)
	in := w.input()
	r, on := Capacity(in, w.job).Groups[0], WhyNot(in, w.nodes[0], w.job).Groups[0]
	if r.Preempting != nil || r.Next.Preempting != 0 || on.Preempts != nil || strings.Contains(on.Summary+r.Summary, "preempt") {
		t.Fatalf("%s; %s, but nobody may preempt", r.Summary, on.Summary)
	}
	in.Config = &structs.SchedulerConfiguration{PreemptionConfig: structs.PreemptionConfig{ServiceSchedulerEnabled: true}}
	r = Capacity(in, w.job).Groups[0]
	if r.Count != 0 || r.Preempting == nil || *r.Preempting != (structs.PreemptCapacity{Count: 2, NodesUsed: 1, Preempted: 3}) || r.Next.Preempting != 1 {
		t.Errorf("%s %+v", r.Summary, r.Preempting)
	}
	if want := "fits, but 2 more on 1 node by preempting 3 allocations of jobs of lower priority: of 2 nodes, 2 have no room: cpu"; !strings.Contains(r.Summary, want) {
		t.Errorf("%s lacks %q", r.Summary, want)
	}
	on = WhyNot(in, w.nodes[0], w.job).Groups[0]
	if on.Fits || len(on.Preempts) != 2 || on.Preempts[0].Priority != 20 || !strings.Contains(on.Summary, "it could by preempting low.web[") {
		t.Errorf("%s %+v", on.Summary, on.Preempts)
	}
	if on = WhyNot(in, w.nodes[1], w.job).Groups[0]; len(on.Preempts) != 0 {
		t.Errorf("%s, although who could go is not enough", on.Summary)
	}
}

// TestContradictionsNameAllThatContradict asks for what nodes have, but none has
// together.
func TestContradictionsNameAllThatContradict(t *testing.T) {
	w := &world{job: newJob(1, 400, 600)}
	for _, node := range []string{"a", "b", "c"} {
		w.node(node, node, 1000, 1000)
	}
	not := func(rack string) *structs.Constraint {
		return &structs.Constraint{LTarget: "${attr.rack}", Operand: "!=", RTarget: rack}
	}
	w.job.Constraints = []*structs.Constraint{not("x"), not("b"), not("y"), {LTarget: "${attr.rack}", Operand: "regexp", RTarget: "a|b"}}
	w.job.TaskGroups[0].Constraints = []*structs.Constraint{not("a"), not("z")}
	next := Capacity(w.input(), w.job).Groups[0].Next
	want := "${attr.rack} != b|${attr.rack} regexp a|b|${attr.rack} != a"
	if got := strings.Join(next.Contradiction, "|"); got != want {
		t.Errorf("%s contradict each other, want %s", got, want)
	}
	const sentence = "no node satisfies ${attr.rack} != b, ${attr.rack} regexp a|b and ${attr.rack} != a together"
	if text := refusals(next); !strings.HasSuffix(text, sentence) {
		t.Error(text)
	}
	w.job.TaskGroups[0].Constraints = nil
	if next = Capacity(w.input(), w.job).Groups[0].Next; next.Contradiction != nil {
		t.Errorf("%v contradict each other, but a node satisfies them", next.Contradiction)
	}
	w.job.Constraints = []*structs.Constraint{not("x"), {LTarget: "${attr.rack}", Operand: "=", RTarget: "d"}}
	if next = Capacity(w.input(), w.job).Groups[0].Next; len(next.Contradiction) != 1 || strings.Contains(refusals(next), "together") {
		t.Errorf("%v: %s", next.Contradiction, refusals(next))
	}
}

func TestBusyNodesComeLast(t *testing.T) {
	w := &world{job: newJob(1, 10, 10)}
	w.node("busy", "a", 4000, 4000)
	w.node("idle", "b", 8000, 8000)
	for _, n := range w.nodes {
		n.NodeResources.Disk.DiskMB = 300 * 2 * capacity.MaxStarting
	}
	for i := range capacity.MaxStarting {
		w.run(fmt.Sprintf("web.web[%d]", i), "busy", 0)
		w.allocs[i].JobID, w.allocs[i].ClientStatus = "other", structs.AllocClientPending
	}
	on := WhyNot(w.input(), w.nodes[0], w.job).Groups[0]
	if on.Rank != 2 || !on.Score.Busy || on.Best.NodeID != "idle" || !strings.Contains(on.Summary, "it is busy") || on.Score.Score <= on.Best.Score {
		t.Errorf("%s %+v", on.Summary, on.Score)
	}
}

func TestWhyJobSaysWhatIsMissing(t *testing.T) {
	w := &world{job: newJob(3, 400, 600)}
	w.node("one", "a", 1000, 1000)
	w.node("two", "b", 1000, 1000)
	w.nodes[1].NodePool = "gpu"
	w.run("web.web[0]", "one", 0)
	why, err := WhyJob(w.input(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	g := why.Groups[0]
	const want = "1 of 3 placed; 2 can't be placed: of 2 nodes, 1 is in another node pool and 1 has no room: memory (one comes nearest, it lacks 200 MiB)."
	if g.Summary != want || g.Placed != 1 || g.Unplaceable != 2 || g.Placements[0].Score == nil {
		t.Errorf("%s\n%+v", g.Summary, g)
	}
	w.job.Stop = ptr(true)
	if why, err = WhyJob(w.input(), w.job); err != nil || !strings.Contains(why.Summary, "the job is stopped") {
		t.Errorf("%+v %v", why, err)
	}
}

func TestWhyJobSaysWhatWaitsForItsReplacement(t *testing.T) {
	for room, want := range map[int]string{
		0: "1 of 1 placed; 1 can't be placed: of 2 nodes, 1 is ineligible or draining and 1 has no room: cpu (n1 comes nearest, it lacks 100 MHz). " +
			"web.web[0] is to leave node n0 and waits for a replacement to be placed and healthy.",
		1: "2 of 1 placed; one more would fit nowhere: of 2 nodes, 1 is ineligible or draining and 1 has no room: cpu (n1 comes nearest, it lacks 100 MHz). " +
			"web.web[0] is to leave node n0 and waits for its replacement to be healthy.",
	} {
		w := emptied("service", 1, 1, room)
		w.nodes[0].SchedulingEligibility = structs.NodeIneligible
		w.allocs[0].DesiredTransition = structs.DesiredTransition{Migrate: ptr(true), AfterReplacement: ptr(true)}
		if room == 1 {
			w.run("heir", "n1", 0)
			w.allocs[1].Name, w.allocs[0].NextAllocation, w.allocs[1].PreviousAllocation = w.allocs[0].Name, "heir", w.allocs[0].ID
		}
		why, err := WhyJob(w.input(), w.job)
		if err != nil {
			t.Fatal(err)
		}
		if got := why.Groups[0].Summary; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestWhyJobSaysWhyAFittingGroupIsNotPlaced(t *testing.T) {
	w := &world{job: newJob(3, 400, 600)}
	w.node("one", "a", 1000, 1000)
	for _, c := range []struct {
		atOnce bool
		want   string
	}{
		{false, "0 of 3 placed; 1 would be placed by an evaluation now: none is under way, steppe job eval makes one; the other 2 can't be placed then."},
		{true, "0 of 3 placed; 3 can't be placed: all_at_once places all of the job or nothing, and one more would fit, but not all."},
	} {
		w.job.AllAtOnce = &c.atOnce
		why, err := WhyJob(w.input(), w.job)
		if err != nil || why.Groups[0].Summary != c.want {
			t.Errorf("all at once %v: %s (%v)", c.atOnce, why.Groups[0].Summary, err)
		}
	}
	w.job.TaskGroups[0].Tasks[0].Resources.MemoryMB = ptr(2000)
	if why, err := WhyJob(w.input(), w.job); err != nil || !strings.Contains(why.Summary, "the only node has no room: memory") {
		t.Errorf("%+v %v", why, err)
	}
}

func TestWhyAllocComparesThenAndNow(t *testing.T) {
	w := &world{job: newJob(1, 400, 600)}
	w.node("large", "a", 4000, 4000)
	w.node("small", "b", 1000, 1000)
	w.run("web.web[0]", "large", 0)
	why := WhyAlloc(w.input(), w.allocs[0])
	if why.Now == nil || why.Now.Rank != 2 || why.Now.Survey.Best[0].NodeID != "small" || why.Then.Rank != 1 {
		t.Fatalf("%s %+v", why.Summary, why.Now)
	}
	if !strings.Contains(why.Summary, "It was put on large with a score of 0.500; now small would be chosen") {
		t.Error(why.Summary)
	}
	w.allocs[0].ClientStatus = structs.AllocClientComplete
	if why = WhyAlloc(w.input(), w.allocs[0]); why.Now != nil || !strings.HasSuffix(why.Summary, "it has ended.") {
		t.Error(why.Summary)
	}
}

func TestWhyNamesWhoHasAPort(t *testing.T) {
	w := &world{job: newJob(2, 100, 100)}
	w.job.TaskGroups[0].Networks = []*structs.NetworkResource{{ReservedPorts: []structs.Port{{Label: "http", Value: 80}}}}
	w.node("n2", "a", 1000, 1000)
	w.node("n1", "a", 1000, 1000)
	w.run("other.g[1]", "n2", 80)
	w.run("other.g[0]", "n1", 80)
	why, err := WhyJob(w.input(), w.job)
	if err != nil {
		t.Fatal(err)
	}
	e := why.Groups[0].Next.ExhaustedBy[0]
	if e.Held == nil || e.Held.AllocName != "other.g[1]" || e.Held.Port != 80 || e.Nearest != "n2" || e.Nodes != 2 {
		t.Errorf("%+v, held %+v", e, e.Held)
	}
	if want := "port 80 (http) is taken (on n2 it is held by other.g[1])"; !strings.Contains(why.Groups[0].Summary, want) {
		t.Errorf("%q is missing in %s", want, why.Groups[0].Summary)
	}
}
