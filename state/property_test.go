package state

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// naive is the allocations as a map of objects, changed by the simplest code
// that is right.
type naive map[string]*naiveAlloc

type naiveAlloc struct {
	Node, Job, Desired, Client, Next string
	CPU, MemoryMB                    int64
	Ports                            []int
}

func (a *naiveAlloc) terminal() bool {
	return a.Desired != "run" || a.Client == "complete" || a.Client == "failed" || a.Client == "lost"
}

// place is what a plan's rows do: each node takes all of its rows or none.
func (m naive) place(s *Snapshot, p *structs.Plan) (refused []string) {
	g := &p.Groups[0]
	byNode := map[string][]int{}
	for j, r := range g.Rows {
		byNode[r.NodeID] = append(byNode[r.NodeID], j)
	}
	for id, rows := range byNode {
		needless := slices.ContainsFunc(rows, func(j int) bool { return m.goesOn(s, p.JobID, g.Rows[j].PreviousAllocation) })
		if needless || !m.fits(s.Node(id), g, rows) {
			refused = append(refused, id)
		}
	}
	slices.Sort(refused)
	for j, r := range g.Rows {
		if slices.Contains(refused, r.NodeID) {
			continue
		}
		a := &naiveAlloc{Node: r.NodeID, Job: p.JobID, Desired: "run", Client: "pending",
			CPU: g.Resources.Tasks["main"].Cpu.CpuShares, MemoryMB: g.Resources.Tasks["main"].Memory.MemoryMB}
		for _, port := range r.Ports {
			a.Ports = append(a.Ports, port.Value)
		}
		name := ids.Derive(g.Seed, g.FirstRow+uint32(j))
		m[name] = a
		if before := m[r.PreviousAllocation]; before != nil && before.Job == p.JobID {
			before.Next = name
		}
	}
	return refused
}

// goesOn reports whether nothing has to stand in for an allocation of a job.
func (m naive) goesOn(s *Snapshot, job, id string) bool {
	a := m[id]
	if a == nil || a.Job != job || a.terminal() {
		return false
	}
	n := s.Node(a.Node)
	return a.Client != "unknown" || n != nil && (n.Status == "ready" || n.Status == "initializing")
}

func (m naive) fits(n *structs.Node, g *structs.PlacementGroup, rows []int) bool {
	if n == nil || n.Status != "ready" || n.SchedulingEligibility != "eligible" || n.DrainStrategy != nil {
		return false
	}
	var cpu, memory int64
	ports := map[int]bool{}
	for _, a := range m {
		if a.Node != n.ID || a.terminal() {
			continue
		}
		cpu, memory = cpu+a.CPU, memory+a.MemoryMB
		for _, p := range a.Ports {
			ports[p] = true
		}
	}
	for _, j := range rows {
		t := g.Resources.Tasks["main"]
		cpu, memory = cpu+t.Cpu.CpuShares, memory+t.Memory.MemoryMB
		for _, p := range g.Rows[j].Ports {
			if ports[p.Value] {
				return false
			}
			ports[p.Value] = true
		}
	}
	return cpu <= n.NodeResources.Cpu.CpuShares && memory <= n.NodeResources.Memory.MemoryMB
}

func (m naive) same(s *Snapshot) string {
	got := naive{}
	for a := range s.Allocs("*", "") {
		t := a.AllocatedResources.Tasks["main"]
		n := &naiveAlloc{Node: a.NodeID, Job: a.JobID, Desired: a.DesiredStatus, Client: a.ClientStatus, Next: a.NextAllocation,
			CPU: t.Cpu.CpuShares, MemoryMB: t.Memory.MemoryMB}
		for _, p := range a.AllocatedResources.Shared.Ports {
			n.Ports = append(n.Ports, p.Value)
		}
		got[a.ID] = n
	}
	return cmp.Diff(m, got)
}

// history draws commands that make sense now and then.
type history struct {
	*world
	rt     *rapid.T
	serial uint32
	model  naive
	swept  map[string]structs.TaskGroupSummary
	nodes  []string
	twin   *Store
	sub    *feed.Subscription
	told   replica
}

func (h *history) draw(n int, what string) int { return rapid.IntRange(0, n-1).Draw(h.rt, what) }

func (h *history) oneOf(list []string, what string) string {
	if len(list) == 0 {
		return h.newID()
	}
	return list[h.draw(len(list), what)]
}

func (h *history) allocID() string {
	return h.oneOf(slices.Sorted(maps.Keys(h.model)), "allocation")
}

// eval returns an evaluation whose ID is the same in each run of a history.
func (h *history) eval(j *structs.Job) *structs.Evaluation {
	e := testEval(j)
	e.ID = h.newID()
	return e
}

func (h *history) newSeed() (seed ids.Seed) {
	h.serial++
	binary.BigEndian.PutUint32(seed[8:], h.serial)
	return seed
}

func (h *history) newID() string { return ids.Derive(h.newSeed(), 0) }

func (h *history) step() {
	job := fmt.Sprintf("job%d", h.draw(3, "job"))
	switch h.draw(18, "step") {
	case 0, 1:
		h.both(&command.RegisterJob{Job: testJob(job, h.draw(4, "count")), Eval: h.eval(testJob(job, 1))})
	case 2:
		h.both(&command.RegisterNode{Node: testNode(h.oneOf(h.nodes, "node"))})
	case 3:
		status := []string{"ready", "ready", "down", "disconnected"}[h.draw(4, "status")]
		h.both(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: h.oneOf(h.nodes, "node"), Status: status}}})
	case 4, 5, 6:
		h.plan(job)
	case 7, 8:
		id, status := h.allocID(), []string{"running", "running", "complete", "failed"}[h.draw(4, "status")]
		u := &structs.AllocUpdate{ID: id, ClientStatus: status}
		if h.draw(2, "judged") == 1 {
			u.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: ptr(h.draw(2, "healthy") == 1)}
		}
		h.both(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{u, u}})
		if a := h.model[id]; a != nil && a.Client != "complete" && a.Client != "failed" {
			a.Client = status
		}
	case 9:
		h.sweep(job)
	case 10:
		h.both(&command.DeregisterJob{Namespace: "default", JobID: job, Purge: h.draw(3, "purge") == 0, Eval: h.eval(testJob(job, 1))})
		if h.snap().Job("default", job) == nil {
			delete(h.swept, job)
		}
	case 11:
		id := h.allocID()
		h.both(&command.UpsertServices{Services: []*structs.ServiceRegistration{
			{ID: "s" + id, ServiceName: "web", Namespace: "default", AllocID: id, NodeID: h.oneOf(h.nodes, "node")},
		}})
	case 12, 13:
		h.wait(job)
	case 14, 15, 16, 17:
		h.family()
	}
}

// wait has evaluations of a job wait for capacity, new ones or old ones again.
func (h *history) wait(job string) {
	var evals []*structs.Evaluation
	for e := range h.snap().EvalsByJob("default", job) {
		if !e.Terminal() && h.draw(2, "again") == 0 {
			e = e.Clone()
			e.Status = []string{structs.EvalStatusBlocked, structs.EvalStatusBlocked, structs.EvalStatusPending, structs.EvalStatusComplete}[h.draw(4, "status")]
			evals = append(evals, e)
		}
	}
	for range h.draw(3, "new ones") {
		e := h.eval(testJob(job, 1))
		e.Status, e.TriggeredBy = structs.EvalStatusBlocked, structs.TriggerQueuedAllocs
		evals = append(evals, e)
	}
	h.both(&command.UpsertEvals{Evals: evals})
	last := ""
	for e := range h.snap().EvalsByJob("default", job) {
		if e.Status == structs.EvalStatusBlocked {
			last = e.ID
		}
	}
	if n := len(evals); n > 0 && evals[n-1].CreateIndex == 0 && h.snap().Job("default", job) != nil && !h.snap().Job("default", job).Stopped() && last == "" {
		h.rt.Fatalf("a new evaluation of job %s should wait, and none does", job)
	}
}

func (h *history) plan(job string) {
	current := h.snap().Job("default", job)
	e := h.eval(testJob(job, 1))
	h.both(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
	p := h.world.plan(e)
	for range h.draw(3, "stops") {
		s := structs.AllocStop{AllocID: h.allocID(), DesiredStatus: "stop"}
		s.ClientStatus = []string{"", "lost", "unknown"}[h.draw(3, "client status")]
		p.Stops = append(p.Stops, s)
	}
	p.Groups = []structs.PlacementGroup{{TaskGroup: "web", Resources: ask(int64(h.draw(5, "cpu"))*500, 256), Seed: h.newSeed(), FirstRow: 7}}
	if h.draw(3, "deploy") == 0 {
		p.Deployment = &structs.Deployment{ID: h.newID(), Namespace: "default", JobID: job, Status: "running",
			TaskGroups: map[string]*structs.DeploymentState{"web": {DesiredTotal: 3}}}
		p.Groups[0].DeploymentID = p.Deployment.ID
	}
	for range h.draw(6, "rows") {
		r := structs.Placement{NodeID: h.oneOf(h.nodes, "node"), NameIndex: uint32(h.draw(5, "index")), Canary: h.draw(4, "canary") == 0}
		if port := h.draw(6, "port"); port > 0 {
			r.Ports = []structs.PortMapping{{Label: "p", Value: 9000 + port}}
		}
		if h.draw(4, "replaces") == 0 {
			r.PreviousAllocation = h.allocID()
		}
		p.Groups[0].Rows = append(p.Groups[0].Rows, r)
	}
	before := h.snap()
	result := h.both(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}}).(*PlanResult)
	if current.Stopped() {
		if result.Rejected[e.ID] == "" {
			h.rt.Fatalf("a plan for job %s, which is stopped or gone, was accepted", job)
		}
		return
	}
	for _, s := range p.Stops {
		if a := h.model[s.AllocID]; a != nil && a.Job == job {
			a.Desired = "stop"
			if s.ClientStatus != "" && !slices.Contains([]string{"complete", "failed", "lost"}, a.Client) {
				a.Client = s.ClientStatus
			}
		}
	}
	want := h.model.place(before, p)
	var got []string
	for _, n := range result.Refused[e.ID] {
		got = append(got, n.NodeID)
	}
	if !slices.Equal(got, want) {
		h.rt.Fatalf("refused %v, want %v", result.Refused[e.ID], want)
	}
	if done := h.snap().Eval(e.ID).Terminal(); done != (len(want) == 0) {
		h.rt.Fatalf("evaluation is done: %v, nodes refused: %v", done, want)
	}
	h.updateInPlace(job)
}

// updateInPlace moves some allocations of the job to its current version.
func (h *history) updateInPlace(job string) {
	if h.draw(3, "in place") > 0 {
		return
	}
	e := h.eval(testJob(job, 1))
	h.both(&command.UpsertEvals{Evals: []*structs.Evaluation{e}})
	p := h.world.plan(e)
	for range 2 {
		p.InPlace = append(p.InPlace, structs.AllocInPlace{AllocID: h.allocID()})
	}
	h.both(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}})
}

func (h *history) sweep(job string) {
	id := h.allocID()
	c := &command.Sweep{AllocIDs: []string{id}, NodeIDs: []string{h.oneOf(h.nodes, "node")}}
	if h.draw(3, "sweep job") == 0 {
		c.Jobs = []command.JobKey{{Namespace: "default", JobID: job}}
	}
	for e := range h.snap().EvalsByJob("default", job) {
		c.EvalIDs = append(c.EvalIDs, e.ID)
	}
	for d := range h.snap().DeploymentsByJob("default", job) {
		c.DeploymentIDs = append(c.DeploymentIDs, d.ID)
	}
	before := h.snap().Alloc(id)
	h.both(c)
	if before != nil && h.snap().Alloc(id) == nil {
		a := h.model[id]
		delete(h.model, id)
		if !a.terminal() {
			h.rt.Fatalf("sweep removed allocation %s, which lives: %+v", id, a)
		}
		if j := h.snap().Job("default", a.Job); j != nil && j.GetCreateIndex() == before.Job.GetCreateIndex() {
			counts := h.swept[a.Job]
			switch a.Client {
			case "complete":
				counts.Complete++
			case "failed":
				counts.Failed++
			default: // nobody will ever say what became of it
				counts.Lost++
			}
			h.swept[a.Job] = counts
		}
	}
	if h.snap().Job("default", job) == nil {
		delete(h.swept, job)
	}
}

// both performs a command here and on the twin, and follows the feed.
func (h *history) both(c command.Command) any {
	result := h.apply(c)
	data, err := command.Encode(c)
	if err != nil {
		h.rt.Fatal(err)
	}
	decoded, err := command.Decode(data)
	if err != nil {
		h.rt.Fatal(err)
	}
	other := h.twin.Apply(h.index, decoded)
	var panicked *PanicError
	if err, ok := result.(error); ok && asPanic(err, &panicked) {
		h.rt.Fatal(panicked)
	}
	if fmt.Sprint(result) != fmt.Sprint(other) {
		h.rt.Fatalf("replicas disagree: %+v and %+v", result, other)
	}
	for h.sub.Waiting() {
		change, err := h.sub.Next(context.Background())
		if err != nil {
			h.rt.Fatal(err)
		}
		if err := h.told.follow(change); err != nil {
			h.rt.Fatal(err)
		}
	}
	return result
}

func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{world: newWorld(t), rt: rt, model: naive{}, swept: map[string]structs.TaskGroupSummary{}, twin: New(Options{}), told: replica{}}
		sub, err := h.store.Subscribe(0)
		if err != nil {
			rt.Fatal(err)
		}
		h.sub = sub
		for range 3 {
			h.nodes = append(h.nodes, h.newID())
			h.both(&command.RegisterNode{Node: testNode(h.nodes[len(h.nodes)-1])})
		}
		type past struct {
			snap *Snapshot
			hash [32]byte
		}
		var pasts []past
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			h.step()
			s := h.snap()
			if diff := h.model.same(s); diff != "" {
				rt.Fatalf("allocations (-want +got):\n%s", diff)
			}
			if wrong := violations(s, h.swept); len(wrong) > 0 {
				rt.Fatalf("%d invariants are violated: %v", len(wrong), wrong)
			}
			pasts = append(pasts, past{s, s.StateHash()})
		}
		if diff := h.told.same(h.snap()); diff != "" {
			rt.Fatalf("the feed told something else (-is +told):\n%s", diff)
		}
		for i, p := range pasts {
			if p.snap.StateHash() != p.hash {
				rt.Fatalf("snapshot %d changed after it was taken", i)
			}
		}
		if h.twin.Snapshot().StateHash() != h.snap().StateHash() {
			rt.Fatal("the same commands gave another state")
		}
		again, err := restored(h.snap())
		if err != nil {
			rt.Fatal(err)
		}
		if again.Snapshot().StateHash() != h.snap().StateHash() {
			rt.Fatal("the state that was restored is another one")
		}
		if wrong := violations(again.Snapshot(), h.swept); len(wrong) > 0 {
			rt.Fatalf("invariants are violated after restoring: %v", wrong)
		}
	})
}
