package state

import (
	"slices"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestAPlacementReadBack(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 1))
	p := w.plan(e, structs.Placement{NodeID: node, NameIndex: 4, Ports: []structs.PortMapping{{Label: "http", Value: 20100, To: 80, HostIP: "10.0.0.1"}}})
	p.Groups[0].Resources.Shared.Networks = []*structs.NetworkResource{{Mode: "host", DynamicPorts: []structs.Port{{Label: "http"}}}}
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}, Now: 42})
	id := ids.Derive(p.Groups[0].Seed, 0)
	a := w.snap().Alloc(id)
	want := &structs.Allocation{
		ID: id, Namespace: "default", EvalID: e.ID, Name: "web.web[4]", NodeID: node, NodeName: "node-" + node[:4],
		JobID: "web", Job: a.Job, TaskGroup: "web", DesiredStatus: "run", ClientStatus: "pending",
		AllocatedResources: &structs.AllocatedResources{
			Tasks: ask(500, 256).Tasks,
			Shared: structs.AllocatedSharedResources{
				DiskMB:   300,
				Ports:    []structs.PortMapping{{Label: "http", Value: 20100, To: 80, HostIP: "10.0.0.1"}},
				Networks: []*structs.NetworkResource{{Mode: "host", IP: "10.0.0.1", DynamicPorts: []structs.Port{{Label: "http", Value: 20100, To: 80}}}},
			},
		},
		Metrics:     &structs.AllocationMetric{NodesEvaluated: 3, Scores: map[string]float64{"x": 0.5}},
		CreateIndex: w.index, ModifyIndex: w.index, AllocModifyIndex: w.index, CreateTime: 42, ModifyTime: 42,
	}
	equal(t, "allocation", a, want)
	equal(t, "job version", a.JobVersion(), uint64(0))
	equal(t, "usage", w.snap().NodeUsage(node), structs.Comparable{CPU: 500, MemoryMB: 256, MemoryMaxMB: 256, DiskMB: 300})
	for name, got := range map[string][]*structs.Allocation{
		"by job":     slices.Collect(w.snap().AllocsByJob("default", "web")),
		"by node":    slices.Collect(w.snap().AllocsByNode(node)),
		"by eval":    slices.Collect(w.snap().AllocsByEval(e.ID)),
		"by prefix":  slices.Collect(w.snap().Allocs("default", id[:8])),
		"by half":    slices.Collect(w.snap().Allocs("*", id[:7])),
		"by much":    slices.Collect(w.snap().Allocs("*", id[:20])),
		"everything": slices.Collect(w.snap().Allocs("*", "")),
	} {
		equal(t, name, got, []*structs.Allocation{want})
	}
	for _, prefix := range []string{"zz", id + "0", id[:8] + "0", ids.New()} {
		equal(t, "by a wrong prefix", len(slices.Collect(w.snap().Allocs("*", prefix))), 0)
	}
	equal(t, "in another namespace", len(slices.Collect(w.snap().Allocs("other", ""))), 0)
}

// refusal applies a plan of one job and returns the reason by node.
func (w *world) refusal(p *structs.Plan) map[string]string {
	w.t.Helper()
	r := w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Now: w.now}).(*PlanResult)
	out := map[string]string{}
	for _, n := range r.Refused[p.EvalID] {
		out[n.NodeID] = n.Reason
	}
	if r.Rejected[p.EvalID] != "" {
		out[""] = r.Rejected[p.EvalID]
	}
	return out
}

func TestNodesThatTakeNothing(t *testing.T) {
	w := newWorld(t)
	good, full, down, closed, draining := w.addNode(), w.addNode(), w.addNode(), w.addNode(), w.addNode()
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: down, Status: "down"}}})
	w.must(&command.SetNodeEligibility{NodeID: closed, Eligibility: "ineligible"})
	w.must(&command.SetNodeDrain{NodeID: draining, Strategy: &structs.DrainStrategy{}})
	e := w.register(testJob("web", 20))
	gone := ids.New()
	rows := rowsOn(good, down, closed, draining, gone)
	for range 9 { // 500 MHz each, 4000 to have
		rows = append(rows, structs.Placement{NodeID: full})
	}
	equal(t, "refused", w.refusal(w.plan(e, rows...)), map[string]string{
		full: "cpu exhausted", down: "node is down", closed: "node is not eligible",
		draining: "node is not eligible", gone: "node is gone",
	})
	equal(t, "placed", w.snap().AllocCount(), 1)
	equal(t, "nothing of the full node", w.snap().NodeUsage(full), structs.Comparable{})
	equal(t, "summary", w.counts("web"), structs.TaskGroupSummary{Starting: 1})

	system := testJob("sys", 1)
	system.Type = ptr("system")
	se := w.register(system)
	equal(t, "a system job on a closed node", w.refusal(w.plan(se, rowsOn(closed)...)), map[string]string{closed: "node is not eligible"})
}

func TestPortsCollide(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	port := func(n int, ip string) structs.Placement {
		return structs.Placement{NodeID: node, Ports: []structs.PortMapping{{Label: "p", Value: n, HostIP: ip}}}
	}
	j := testJob("web", 1)
	e := w.register(j)
	equal(t, "first", w.refusal(w.plan(e, port(9000, "10.0.0.1"), port(9001, ""))), map[string]string{})
	for name, c := range map[string]struct {
		rows []structs.Placement
		want string
	}{
		"the same":             {[]structs.Placement{port(9000, "10.0.0.1")}, "port 9000 in use"},
		"on every address":     {[]structs.Placement{port(9000, "")}, "port 9000 in use"},
		"taken everywhere":     {[]structs.Placement{port(9001, "10.0.0.9")}, "port 9001 in use"},
		"twice within a plan":  {[]structs.Placement{port(9500, ""), port(9500, "")}, "port 9500 in use"},
		"reserved on the node": {[]structs.Placement{port(8005, "")}, "port 8005 in use"},
		"not a port":           {[]structs.Placement{port(70000, "")}, "port 70000 is not a port"},
		"another address":      {[]structs.Placement{port(9000, "10.0.0.2")}, ""},
	} {
		p := w.plan(e, c.rows...)
		before := w.snap().AllocCount()
		got := w.refusal(p)[node]
		equal(t, name, got, c.want)
		if c.want != "" {
			equal(t, name+": placed nothing", w.snap().AllocCount(), before)
		}
	}
	// A port is free again once its allocation ended, or was told to stop.
	first := slices.Collect(w.snap().AllocsByNode(node))[0]
	w.report(first.ID, "failed")
	equal(t, "free again", w.refusal(w.plan(e, port(9000, "10.0.0.1"))), map[string]string{})

	j.TaskGroups[0].Networks = []*structs.NetworkResource{{ReservedPorts: []structs.Port{{Label: "p", Value: 9001, IgnoreCollision: true}}}}
	e = w.register(j)
	equal(t, "collision ignored", w.refusal(w.plan(e, port(9001, ""))), map[string]string{})
}

func TestDevicesAreTakenOnce(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 1))
	row := structs.Placement{NodeID: node, Devices: map[string][]*structs.AllocatedDeviceResource{
		"main": {{Vendor: "v", Type: "gpu", Name: "n", DeviceIDs: []string{"0"}}},
	}}
	equal(t, "first", w.refusal(w.plan(e, row)), map[string]string{})
	equal(t, "second", w.refusal(w.plan(e, row)), map[string]string{node: "v/gpu/n/0 in use"})
	a := slices.Collect(w.snap().AllocsByNode(node))[0]
	equal(t, "task's devices", a.AllocatedResources.Tasks["main"].Devices, row.Devices["main"])
}

func TestNodesHaveAMostOfAllocations(t *testing.T) {
	w := newWorld(t)
	n := testNode(ids.New())
	n.NodeMaxAllocs = 2
	w.must(&command.RegisterNode{Node: n})
	e := w.register(testJob("web", 3))
	equal(t, "third", w.refusal(w.plan(e, rowsOn(n.ID, n.ID, n.ID)...)), map[string]string{n.ID: "allocations exhausted"})
	equal(t, "two", w.refusal(w.plan(e, rowsOn(n.ID, n.ID)...)), map[string]string{})
}

func TestStopsOfARefusedPlanApply(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 1))
	old := w.place(e, rowsOn(node)...)[0]
	e = w.register(testJob("web", 30))
	rows := make([]structs.Placement, 20)
	for i := range rows {
		rows[i].NodeID = node
	}
	p := w.plan(e, rows...)
	p.Stops = []structs.AllocStop{{AllocID: old, DesiredStatus: "stop", DesiredDescription: "d", ClientStatus: "lost", FollowupEvalID: "f"}}
	r := w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}, Now: w.now}).(*PlanResult)
	equal(t, "refused", r.Refused[e.ID], []RefusedNode{{node, "cpu exhausted"}})
	a := w.snap().Alloc(old)
	equal(t, "stopped", []string{a.DesiredStatus, a.ClientStatus, a.DesiredDescription, a.FollowupEvalID}, []string{"stop", "lost", "d", "f"})
	equal(t, "the evaluation stays to be scheduled again", w.snap().Eval(e.ID).Status, "pending")
	equal(t, "usage", w.snap().NodeUsage(node), structs.Comparable{})
}

func TestAllAtOnce(t *testing.T) {
	w := newWorld(t)
	a, b := w.addNode(), w.addNode()
	w.must(&command.SetNodeEligibility{NodeID: b, Eligibility: "ineligible"})
	j := testJob("web", 2)
	j.AllAtOnce = ptr(true)
	e := w.register(j)
	equal(t, "refused", w.refusal(w.plan(e, rowsOn(a, b)...)), map[string]string{b: "node is not eligible"})
	equal(t, "placed", w.snap().AllocCount(), 0)
}

func TestPlansThatCameTooLate(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 1))
	p := w.plan(e, rowsOn(node)...)
	again := *p
	w.place(e) // completes the evaluation
	equal(t, "evaluation is done", w.refusal(p), map[string]string{"": "evaluation is already complete"})

	again.EvalID = w.register(testJob("web", 2)).ID
	again.JobVersion = 77
	equal(t, "version is gone", w.refusal(&again), map[string]string{"": "version 77 of the job is gone"})
	again.JobVersion = 0
	equal(t, "job changed", w.refusal(&again), map[string]string{"": "version 0 of the job is outdated"})
	again.JobVersion = 1
	again.Groups[0].TaskGroup = "db"
	equal(t, "group is gone", w.refusal(&again), map[string]string{"": `version 1 of the job has no group "db"`})
	again.Groups[0].TaskGroup = "web"
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web"})
	equal(t, "job stopped", w.refusal(&again), map[string]string{"": "job was stopped"})
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web", Purge: true})
	equal(t, "job purged", w.refusal(&again), map[string]string{"": "job is gone"})
	w.register(testJob("web", 2))
	again.JobVersion = 0
	equal(t, "job registered anew", w.refusal(&again), map[string]string{"": "job was purged and registered anew"})
	equal(t, "placed", w.snap().AllocCount(), 0)
}

func TestTheSamePlanTwice(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 2))
	p := w.plan(e, rowsOn(node, node)...)
	w.refusal(p)
	w.refusal(p)
	equal(t, "placed", w.snap().AllocCount(), 2)
	equal(t, "usage", w.snap().NodeUsage(node).CPU, int64(1000))
	equal(t, "summary", w.counts("web"), structs.TaskGroupSummary{Starting: 2})
}

func TestAReplacementIsLinked(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 1))
	first := w.place(e, rowsOn(node)...)[0]
	w.report(first, "failed")
	e = testEval(testJob("web", 1))
	w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
	tracker := &structs.RescheduleTracker{Events: []*structs.RescheduleEvent{{PrevAllocID: first, PrevNodeID: node}}}
	second := w.place(e, structs.Placement{NodeID: node, PreviousAllocation: first, Reschedule: tracker})[0]
	equal(t, "next", w.snap().Alloc(first).NextAllocation, second)
	got := w.snap().Alloc(second)
	equal(t, "previous", []any{got.PreviousAllocation, got.RescheduleTracker}, []any{first, tracker})
}

// What is replaced because its node is silent may be back when the plan is applied.
func TestWhatIsBackIsNotReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		known, mark string // what is known of the allocation, what the plan says of it
		back        string // status of its node
		stop        bool
		want        map[string]string
	}{
		"still away":                 {"unknown", "", "disconnected", false, map[string]string{}},
		"told by the plan":           {"running", "unknown", "disconnected", false, map[string]string{}},
		"its node is down":           {"unknown", "", "down", false, map[string]string{}},
		"its node is back":           {"unknown", "", "ready", false, map[string]string{"": "the allocation to replace is back"}},
		"it has told that it runs":   {"running", "", "disconnected", false, map[string]string{"": "the allocation to replace is back"}},
		"told in vain, it is back":   {"running", "unknown", "ready", false, map[string]string{"": "the allocation to replace is back"}},
		"it has ended":               {"complete", "", "ready", false, map[string]string{}},
		"it is stopped all the same": {"running", "", "ready", true, map[string]string{}},
		"its node is gone":           {"running", "", "purged", true, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			silent, other := w.addNode(), w.addNode()
			first := w.place(w.register(testJob("web", 1)), rowsOn(silent)...)[0]
			plan := func(mark string, rows ...structs.Placement) *structs.Plan {
				e := testEval(testJob("web", 1))
				w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
				p := w.plan(e, rows...)
				if mark != "" {
					p.Marks = []structs.AllocMark{{AllocID: first, ClientStatus: mark}}
				}
				return p
			}
			if w.report(first, c.known); c.known == "unknown" {
				w.refusal(plan(c.known))
			}
			if c.back == "purged" {
				w.must(&command.DeleteNodes{NodeIDs: []string{silent}})
			} else {
				w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: silent, Status: c.back}}})
			}
			p := plan(c.mark, structs.Placement{NodeID: other, PreviousAllocation: first})
			if c.stop {
				p.Stops = []structs.AllocStop{{AllocID: first, DesiredStatus: "stop"}}
			}
			if why, refused := c.want[""]; refused {
				c.want = map[string]string{other: why}
			}
			equal(t, "refused", w.refusal(p), c.want)
		})
	}
}

// What a batch job has done since the plan was made is neither stopped nor done
// again.
func TestWhatHasDoneItsWorkMeanwhileIsLeftAlone(t *testing.T) {
	for kind, again := range map[string]bool{structs.JobTypeBatch: false, structs.JobTypeSysBatch: false, structs.JobTypeService: true} {
		w := newWorld(t)
		node, other := w.addNode(), w.addNode()
		job := testJob("sum", 1)
		job.Type = &kind
		first := w.place(w.register(job), rowsOn(node)...)[0]
		w.report(first, "complete")
		w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: node, Status: "down"}}})
		e := testEval(job)
		w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
		late := w.plan(e, structs.Placement{NodeID: other, PreviousAllocation: first})
		late.Stops = []structs.AllocStop{{AllocID: first, DesiredStatus: "stop", ClientStatus: "lost"}}
		want := map[string]string{other: "the allocation to replace has done its work"}
		if again {
			want = map[string]string{}
		}
		equal(t, kind, w.refusal(late), want)
		equal(t, kind+" is stopped", w.snap().Alloc(first).DesiredStatus == "stop", again)
	}
}

func TestPreemption(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	victim := w.place(w.register(testJob("low", 1)), rowsOn(node)...)[0]
	e := w.register(testJob("high", 1))
	p := w.plan(e, rowsOn(node)...)
	id := ids.Derive(p.Groups[0].Seed, 0)
	p.Stops = []structs.AllocStop{{AllocID: victim, DesiredStatus: "evict", PreemptedBy: id}}
	equal(t, "refused", w.refusal(p), map[string]string{})
	equal(t, "victim", w.snap().Alloc(victim).PreemptedByAllocation, id)
	equal(t, "victim", w.snap().Alloc(victim).DesiredStatus, "evict")
	equal(t, "winner", w.snap().Alloc(id).PreemptedAllocations, []string{victim})

	p = w.plan(e)
	p.Stops = []structs.AllocStop{{AllocID: id, DesiredStatus: "stop"}}
	p.JobID = "low"
	w.refusal(p)
	equal(t, "a plan can't stop what isn't its job's", w.snap().Alloc(id).DesiredStatus, "run")
}

func TestMarks(t *testing.T) {
	w := newWorld(t)
	e := w.register(testJob("web", 1))
	id := w.place(e, rowsOn(w.addNode())...)[0]
	e = w.register(testJob("web", 2))
	p := w.plan(e)
	p.Marks = []structs.AllocMark{{AllocID: id, ClientStatus: "unknown", DesiredDescription: structs.DescAllocUnknown, FollowupEvalID: "later"}}
	w.refusal(p)
	a := w.snap().Alloc(id)
	equal(t, "marked", []string{a.DesiredStatus, a.ClientStatus, a.DesiredDescription, a.FollowupEvalID},
		[]string{"run", "unknown", structs.DescAllocUnknown, "later"})
	equal(t, "summary", w.counts("web"), structs.TaskGroupSummary{Unknown: 1})
	w.report(id, "running")
	equal(t, "back", w.counts("web"), structs.TaskGroupSummary{Running: 1})
}

func TestWhatClientsMaySay(t *testing.T) {
	for _, c := range []struct{ now, said, want string }{
		{"pending", "running", "running"},
		{"running", "pending", "pending"},
		{"running", "complete", "complete"},
		{"complete", "running", "complete"},
		{"failed", "complete", "failed"},
		{"running", "lost", "running"},
		{"running", "unknown", "running"},
		{"running", "nonsense", "running"},
		{"running", "", "running"},
	} {
		w := newWorld(t)
		id := w.place(w.register(testJob("web", 1)), rowsOn(w.addNode())...)[0]
		w.report(id, c.now)
		w.report(id, c.said)
		equal(t, c.now+" then "+c.said, w.snap().Alloc(id).ClientStatus, c.want)
	}
	w := newWorld(t)
	e := w.register(testJob("web", 1))
	id := w.place(e, rowsOn(w.addNode())...)[0]
	p := w.plan(w.register(testJob("web", 2)))
	p.Stops = []structs.AllocStop{{AllocID: id, DesiredStatus: "stop", ClientStatus: "lost"}}
	w.refusal(p)
	equal(t, "lost", w.counts("web"), structs.TaskGroupSummary{Lost: 1})
	w.report(id, "complete")
	equal(t, "a lost one may return", w.counts("web"), structs.TaskGroupSummary{Complete: 1})
}

func TestReports(t *testing.T) {
	w := newWorld(t)
	id := w.place(w.register(testJob("web", 1)), rowsOn(w.addNode())...)[0]
	server := w.snap().Alloc(id).AllocModifyIndex
	states := map[string]*structs.TaskState{"main": {State: "running", Events: []*structs.TaskEvent{{Type: "Started", Time: 5}}}}
	network := &structs.AllocNetworkStatus{Address: "10.1.1.1"}
	w.must(&command.UpdateAllocs{Now: 99, Updates: []*structs.AllocUpdate{
		{ID: id, ClientStatus: "running", ClientDescription: "Tasks are running", TaskStates: states, NetworkStatus: network},
		{ID: ids.New(), ClientStatus: "failed"},
	}})
	w.must(&command.UpdateAllocs{Now: 100, Updates: []*structs.AllocUpdate{{ID: id}}})
	a := w.snap().Alloc(id)
	equal(t, "reported", []any{a.ClientStatus, a.ClientDescription, a.TaskStates, a.NetworkStatus, a.ModifyTime, a.ModifyIndex, a.AllocModifyIndex},
		[]any{"running", "Tasks are running", states, network, int64(100), w.index, server})
	w.must(&command.TransitionAllocs{Transitions: []command.AllocTransition{{AllocID: id, Transition: structs.DesiredTransition{Migrate: ptr(true)}}}})
	w.must(&command.TransitionAllocs{Transitions: []command.AllocTransition{{AllocID: id, Transition: structs.DesiredTransition{Reschedule: ptr(true)}}}})
	a = w.snap().Alloc(id)
	equal(t, "transition", a.DesiredTransition, structs.DesiredTransition{Migrate: ptr(true), Reschedule: ptr(true)})
	equal(t, "the node must see it", a.AllocModifyIndex, w.index)
}

func TestServicesEndWithTheirAllocation(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	placed := w.place(w.register(testJob("web", 2)), rowsOn(node, node)...)
	service := func(alloc string) *structs.ServiceRegistration {
		return &structs.ServiceRegistration{ID: "s-" + alloc, ServiceName: "api", Namespace: "default", NodeID: node, JobID: "web", AllocID: alloc}
	}
	w.must(&command.UpsertServices{Services: []*structs.ServiceRegistration{service(placed[0]), service(placed[1]), service(ids.New())}})
	count := func() int { return len(slices.Collect(w.snap().ServicesByName("default", "api"))) }
	equal(t, "registered", count(), 2)
	w.report(placed[0], "complete")
	equal(t, "one has ended", count(), 1)
	w.must(&command.UpsertServices{Services: []*structs.ServiceRegistration{service(placed[0])}})
	equal(t, "a late registration", count(), 1)
	w.must(&command.DeleteServices{Namespace: "default", IDs: []string{"s-" + placed[1], "nope"}})
	equal(t, "deleted", count(), 0)
	w.must(&command.UpsertServices{Services: []*structs.ServiceRegistration{service(placed[1])}})
	w.must(&command.DeleteNodes{NodeIDs: []string{node}})
	equal(t, "node is gone", count(), 0)
	for name, n := range map[string]int{
		"by node":  len(slices.Collect(w.snap().ServicesByNode(node))),
		"by alloc": len(slices.Collect(w.snap().ServicesByAlloc(placed[1]))),
		"all":      len(slices.Collect(w.snap().Services("*"))),
	} {
		equal(t, name, n, 0)
	}
}

func TestSweepSparesWhatLives(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 2))
	placed := w.place(e, rowsOn(node, node)...)
	w.report(placed[0], "complete")
	sweep := &command.Sweep{
		EvalIDs: []string{e.ID}, AllocIDs: placed, Jobs: []command.JobKey{{Namespace: "default", JobID: "web"}}, NodeIDs: []string{node},
	}
	equal(t, "first", w.must(sweep), &SweepResult{Index: w.index, Allocs: 1})
	equal(t, "removed", w.snap().Alloc(placed[0]), (*structs.Allocation)(nil))
	equal(t, "node's list", len(slices.Collect(w.snap().AllocsByNode(node))), 1)
	equal(t, "summary remembers", w.counts("web"), structs.TaskGroupSummary{Complete: 1, Starting: 1})
	w.report(placed[1], "complete")
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: node, Status: "down"}}})
	equal(t, "second", w.must(sweep), &SweepResult{Index: w.index, Allocs: 1, Evals: 1, Jobs: 1, Nodes: 1})
	equal(t, "all gone", []int{w.snap().AllocCount(), w.snap().NodeCount()}, []int{0, 0})
}

func TestWhatIsSweptUnheardIsLost(t *testing.T) {
	w := newWorld(t)
	silent, other := w.addNode(), w.addNode()
	e := w.register(testJob("web", 2))
	placed := w.place(e, rowsOn(silent, other)...)
	w.report(placed[0], "running")
	again := w.register(testJob("web", 1))
	p := w.plan(again)
	p.Stops = []structs.AllocStop{{AllocID: placed[0], DesiredStatus: structs.AllocDesiredStop, DesiredDescription: structs.DescAllocNotNeeded}}
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(again)}, Now: w.now})
	w.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: silent, Status: "down"}}})
	equal(t, "last heard", w.counts("web"), structs.TaskGroupSummary{Running: 1, Starting: 1})
	equal(t, "swept", w.must(&command.Sweep{AllocIDs: placed[:1]}), &SweepResult{Index: w.index, Allocs: 1})
	equal(t, "never heard", w.counts("web"), structs.TaskGroupSummary{Lost: 1, Starting: 1})
}

func TestDeploymentsCount(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 2))
	job := w.snap().Job("default", "web")
	d := &structs.Deployment{
		ID: ids.New(), Namespace: "default", JobID: "web", JobVersion: 0, JobCreateIndex: job.GetCreateIndex(),
		Status: "running", StatusDescription: structs.DescDeploymentRunning,
		TaskGroups: map[string]*structs.DeploymentState{"web": {DesiredTotal: 2, DesiredCanaries: 1, ProgressDeadline: time.Minute}},
	}
	p := w.plan(e, structs.Placement{NodeID: node, Canary: true}, structs.Placement{NodeID: node, NameIndex: 1})
	p.Deployment, p.Groups[0].DeploymentID = d, d.ID
	start := w.now
	w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}, Now: start})
	canary, other := ids.Derive(p.Groups[0].Seed, 0), ids.Derive(p.Groups[0].Seed, 1)
	group := func() structs.DeploymentState { return *w.snap().Deployment(d.ID).TaskGroups["web"] }
	equal(t, "placed", group(), structs.DeploymentState{
		DesiredTotal: 2, DesiredCanaries: 1, ProgressDeadline: time.Minute, PlacedAllocs: 2, PlacedCanaries: []string{canary},
		RequireProgressBy: time.Unix(0, start).UTC().Add(time.Minute),
	})
	equal(t, "canary", w.snap().Alloc(canary).DeploymentStatus.IsCanary(), true)
	w.refusedAs(&command.PromoteDeployment{DeploymentID: d.ID}, `Task group "web" has 0/1 healthy allocations`)

	at := time.Unix(1800000000, 0).UTC()
	healthy := func(id string, is bool) *command.UpdateAllocs {
		return &command.UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: id, ClientStatus: "running",
			DeploymentStatus: &structs.AllocDeploymentStatus{Healthy: &is, Timestamp: at}}}}
	}
	w.must(healthy(canary, true))
	w.must(healthy(canary, true))
	got := group()
	equal(t, "healthy", []any{got.HealthyAllocs, got.RequireProgressBy}, []any{1, at.Add(time.Minute)})
	w.must(&command.PromoteDeployment{DeploymentID: d.ID, StatusDescription: structs.DescDeploymentRunning})
	equal(t, "promoted", group().Promoted, true)
	equal(t, "canary no more", w.snap().Alloc(canary).DeploymentStatus.IsCanary(), false)
	equal(t, "still healthy", w.snap().Alloc(canary).DeploymentStatus.IsHealthy(), true)

	w.must(healthy(other, false))
	equal(t, "unhealthy", group().UnhealthyAllocs, 1)
	w.must(&command.SetAllocHealth{DeploymentID: d.ID, Healthy: []string{other}, Now: w.now})
	equal(t, "healthy by hand", []int{group().HealthyAllocs, group().UnhealthyAllocs}, []int{2, 0})
	w.refusedAs(&command.SetAllocHealth{DeploymentID: d.ID, Healthy: []string{"x"}}, `allocation "x" is not part of deployment "`+d.ID+`"`)

	w.must(&command.UpdateDeployment{MarkStable: true, Update: structs.DeploymentStatusUpdate{
		DeploymentID: d.ID, Status: "successful", StatusDescription: structs.DescDeploymentSuccessful,
	}})
	equal(t, "stable", w.snap().Job("default", "web").IsStable(), true)
	w.refusedAs(&command.PromoteDeployment{DeploymentID: d.ID}, "can't promote terminal deployment")
	w.refusedAs(&command.UpdateDeployment{Update: structs.DeploymentStatusUpdate{DeploymentID: d.ID, Status: "failed"}}, "can't fail terminal deployment")
	equal(t, "by deployment", len(slices.Collect(w.snap().AllocsByDeployment(d.ID))), 2)
}

func TestDeploymentsEndWithTheirVersion(t *testing.T) {
	w := newWorld(t)
	deploy := func() string {
		e := testEval(testJob("web", 1))
		w.must(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
		p := w.plan(e)
		p.Deployment = &structs.Deployment{ID: ids.New(), Namespace: "default", JobID: "web", JobVersion: p.JobVersion, Status: "running"}
		w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}})
		return p.Deployment.ID
	}
	said := func(id string) []string {
		d := w.snap().Deployment(id)
		return []string{d.Status, d.StatusDescription}
	}
	w.register(testJob("web", 1))
	d := deploy()
	w.register(testJob("web", 1))
	equal(t, "the same specification", said(d), []string{"running", ""})
	w.register(testJob("web", 2))
	equal(t, "newer", said(d), []string{"cancelled", "Cancelled due to newer version of job"})
	equal(t, "latest", w.snap().LatestDeployment("default", "web").ID, d)
	d = deploy()
	equal(t, "latest", w.snap().LatestDeployment("default", "web").ID, d)
	w.must(&command.DeregisterJob{Namespace: "default", JobID: "web"})
	equal(t, "stopped", said(d), []string{"cancelled", "Cancelled because job is stopped"})

	w.register(testJob("web", 3))
	d = deploy()
	back := testJob("web", 1)
	r := w.must(&command.UpdateDeployment{
		Update: structs.DeploymentStatusUpdate{DeploymentID: d, Status: "failed", StatusDescription: "x - rolling back"},
		Job:    back, Eval: testEval(back),
	}).(*DeploymentResult)
	equal(t, "reverted", *r.RevertedVersion, uint64(4))
	equal(t, "failed, not cancelled", said(d), []string{"failed", "x - rolling back"})
	equal(t, "count", *w.snap().Job("default", "web").TaskGroups[0].Count, 1)
	w.must(&command.Sweep{DeploymentIDs: []string{d}})
	equal(t, "swept", w.snap().Deployment(d), (*structs.Deployment)(nil))
}

func TestPlainAllocationsNeedNotBeMade(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 3))
	ids := w.place(e, rowsOn(node, node, node)...)
	w.must(&command.TransitionAllocs{Transitions: []command.AllocTransition{
		{AllocID: ids[1], Transition: structs.DesiredTransition{Migrate: ptr(true)}},
	}})
	var shown []uint32
	list := func(take func(*structs.PlainAlloc) bool) (whole []string) {
		for a := range w.snap().JobAllocs("default", "web", take) {
			whole = append(whole, a.ID)
		}
		return whole
	}
	got := list(func(p *structs.PlainAlloc) bool {
		shown = append(shown, p.NameIndex)
		return p.NameIndex == 2
	})
	equal(t, "shown as plain", shown, []uint32{0, 2})
	equal(t, "made whole", got, ids[:2])
	equal(t, "all whole", list(nil), ids)
}
