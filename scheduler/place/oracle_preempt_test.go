package place

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/structs"
)

// TestEveryEvictionIsTheBest places rows on full clusters and asks an oracle
// before each: nobody goes while a node has room; the gap of priorities is kept;
// what goes from a node follows the rule, computed here from its words; and no
// node would have had a better score.
func TestEveryEvictionIsTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCrowd(t)
		for _, ask := range s.asks {
			out := s.planner.Group(ask)
			for _, c := range out.Choices {
				s.judge(t, &ask, c)
			}
		}
	})
}

// TestLooksAreBounded lets an evaluation look closely at few nodes only: it
// makes room for some rows and leaves the others for another plan.
func TestLooksAreBounded(t *testing.T) {
	for looks, want := range map[int]int{0: 9, 1: 1, 9: 1, 1000: 9} {
		x, running := capacity.New(), map[string][]*structs.Allocation{}
		for i := range 9 {
			n := &structs.Node{
				ID: fmt.Sprint("n", i), NodePool: "default", Datacenter: "dc1", Status: structs.NodeStatusReady, SchedulingEligibility: "eligible",
				NodeResources: &structs.NodeResources{Cpu: structs.NodeCpuResources{CpuShares: 1000}},
			}
			x.UpsertNode(n)
			for k := range 2 {
				m := member{id: fmt.Sprint("a", i, k), node: n.ID, group: fmt.Sprint("j", k), priority: 10, cpu: 400 + 200*float64(k)}
				running[n.ID] = append(running[n.ID], m.allocation())
				x.SetAlloc(m.allocation())
			}
		}
		p := New(x, Options{Preempt: &Preemption{
			Job: structs.NamespacedID{Namespace: "default", ID: "high"}, Priority: 50, MaxLooks: looks,
			Running: func(node string) iter.Seq[*structs.Allocation] { return slices.Values(running[node]) },
		}})
		out := p.Group(Ask{
			Job:   &structs.Job{ID: ptr("high"), Type: ptr("batch"), Datacenters: []string{"*"}},
			Group: &structs.TaskGroup{Name: ptr("g"), Count: ptr(9), Tasks: []*structs.Task{{Name: "t", Resources: &structs.Resources{CPU: ptr(400)}}}},
			Rows:  make([]Row, 9),
		})
		if len(out.Choices) != want || out.Failed != nil {
			t.Errorf("%d looks: %d rows, want %d", looks, len(out.Choices), want)
		}
	}
}

// crowd is a full cluster as the oracle sees it.
type crowd struct {
	planner   *Planner
	algorithm string
	priority  int
	nodes     []*structs.Node
	allocs    map[string]*member
	gone      map[string]int // by group
	asks      []Ask
	rows      int
}

type member struct {
	id, node, group string
	priority        int
	parallel        int
	cpu, mem        float64
	port            int
	mate            bool // of the group that is placed
}

func drawCrowd(t *rapid.T) *crowd {
	s := &crowd{
		allocs: map[string]*member{}, gone: map[string]int{}, priority: rapid.SampledFrom([]int{50, 55, 60}).Draw(t, "priority"),
		algorithm: rapid.SampledFrom([]string{structs.SchedulerBinPack, structs.SchedulerSpread}).Draw(t, "algorithm"),
	}
	x, running := capacity.New(), map[string][]*structs.Allocation{}
	for i := range rapid.IntRange(1, 5).Draw(t, "nodes") {
		n := drawNode(t, i)
		n.SchedulingEligibility = "eligible"
		s.nodes = append(s.nodes, n)
		x.UpsertNode(n)
	}
	for i := range rapid.IntRange(0, 16).Draw(t, "allocations") {
		m := s.drawMember(t, i)
		if !s.fits(m.node, m.cpu, m.mem, m.port) {
			continue
		}
		s.allocs[m.id] = m
		a := m.allocation()
		running[m.node] = append(running[m.node], a)
		x.SetAlloc(a)
	}
	s.planner = New(x, Options{Algorithm: s.algorithm, Seed: rapid.Uint64().Draw(t, "seed"), Preempt: &Preemption{
		Job: structs.NamespacedID{Namespace: "default", ID: "high"}, Priority: s.priority,
		Running: func(node string) iter.Seq[*structs.Allocation] { return slices.Values(running[node]) },
	}})
	kind := rapid.SampledFrom([]string{"service", "batch"}).Draw(t, "type")
	job := &structs.Job{ID: ptr("high"), Type: &kind, Datacenters: []string{"*"}, Priority: &s.priority}
	g := &structs.TaskGroup{Name: ptr("g"), Count: ptr(3), Tasks: []*structs.Task{{Name: "t", Resources: &structs.Resources{
		CPU: ptr(rapid.IntRange(1, 12).Draw(t, "cpu") * 100), MemoryMB: ptr(rapid.IntRange(1, 12).Draw(t, "mem") * 100),
	}}}}
	if rapid.IntRange(0, 2).Draw(t, "port") == 0 {
		g.Networks = []*structs.NetworkResource{{ReservedPorts: []structs.Port{{Label: "s", Value: 80}}}}
	}
	s.asks = []Ask{{Job: job, Group: g, Rows: make([]Row, rapid.IntRange(1, 5).Draw(t, "rows"))}}
	return s
}

func (s *crowd) drawMember(t *rapid.T, i int) *member {
	job := rapid.IntRange(0, 3).Draw(t, "job")
	m := &member{
		id: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), node: rapid.SampledFrom(s.nodes).Draw(t, "on").ID, group: fmt.Sprint("job", job),
		priority: []int{10, 40, 45, 60}[job], parallel: []int{1, 0, 2, 1}[job],
		cpu: float64(rapid.IntRange(1, 6).Draw(t, "cpu") * 100), mem: float64(rapid.IntRange(1, 6).Draw(t, "mem") * 100),
	}
	if rapid.IntRange(0, 3).Draw(t, "has port") == 0 {
		m.port = 80
	}
	return m
}

func (m *member) allocation() *structs.Allocation {
	res := &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{"t": {
		Cpu: structs.AllocatedCpuResources{CpuShares: int64(m.cpu)}, Memory: structs.AllocatedMemoryResources{MemoryMB: int64(m.mem)},
	}}}
	if m.port > 0 {
		res.Shared.Ports = []structs.PortMapping{{Label: "s", Value: m.port}}
	}
	return &structs.Allocation{
		ID: m.id, NodeID: m.node, Namespace: "default", JobID: m.group, TaskGroup: "g", AllocatedResources: res,
		Job: &structs.Job{ID: &m.group, Priority: &m.priority, TaskGroups: []*structs.TaskGroup{{
			Name: ptr("g"), Migrate: &structs.MigrateStrategy{MaxParallel: &m.parallel},
		}}},
	}
}

func (s *crowd) node(id string) *structs.Node {
	return s.nodes[slices.IndexFunc(s.nodes, func(n *structs.Node) bool { return n.ID == id })]
}

// lack is what a node lacks, some allocations aside.
func (s *crowd) lack(node string, cpu, mem float64, port int, aside ...*member) (c, m float64, p bool) {
	n := s.node(node)
	c, m = cpu-float64(n.NodeResources.Cpu.CpuShares), mem-float64(n.NodeResources.Memory.MemoryMB)
	for _, a := range s.allocs {
		if a.node == node && !slices.Contains(aside, a) {
			c, m, p = c+a.cpu, m+a.mem, p || port > 0 && a.port == port
		}
	}
	return max(c, 0), max(m, 0), p
}

func (s *crowd) fits(node string, cpu, mem float64, port int, aside ...*member) bool {
	c, m, p := s.lack(node, cpu, mem, port, aside...)
	return c == 0 && m == 0 && !p
}

func (s *crowd) penalty(group string, parallel, before int) float64 {
	if parallel == 0 {
		return 0
	}
	return 50 * math.Max(0, float64(s.gone[group]+before+1-parallel))
}

// victims follows the rule: the lowest priority first, of one priority what is
// closest to what lacks; then whoever can be spared stays.
func (s *crowd) victims(node string, cpu, mem float64, port int) ([]*member, bool) {
	n := s.node(node)
	size := func(c, m float64) float64 {
		return math.Sqrt(math.Pow(c/float64(n.NodeResources.Cpu.CpuShares), 2) + math.Pow(m/float64(n.NodeResources.Memory.MemoryMB), 2))
	}
	var gone []*member
	for !s.fits(node, cpu, mem, port, gone...) {
		c, m, p := s.lack(node, cpu, mem, port, gone...)
		var best *member
		var closest float64
		for _, a := range s.sorted() {
			helps := c > 0 || m > 0 || p && a.port == port
			if a.node != node || a.mate || a.priority > s.priority-10 || !helps || slices.Contains(gone, a) {
				continue
			}
			before := 0
			for _, g := range gone {
				if g.group == a.group {
					before++
				}
			}
			d := size(c-a.cpu, m-a.mem) + s.penalty(a.group, a.parallel, before)
			if best == nil || a.priority < best.priority || a.priority == best.priority && d < closest {
				best, closest = a, d
			}
		}
		if best == nil {
			return nil, false
		}
		gone = append(gone, best)
	}
	order := slices.Clone(gone)
	slices.SortFunc(order, func(a, b *member) int {
		return cmp.Or(b.priority-a.priority, cmp.Compare(size(b.cpu, b.mem), size(a.cpu, a.mem)), cmp.Compare(a.id, b.id))
	})
	for _, a := range order {
		rest := slices.DeleteFunc(slices.Clone(gone), func(o *member) bool { return o == a })
		if s.fits(node, cpu, mem, port, rest...) {
			gone = rest
		}
	}
	return gone, true
}

func (s *crowd) sorted() []*member {
	var out []*member
	for _, a := range s.allocs {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *member) int { return cmp.Compare(a.id, b.id) })
	return out
}

// score is the mean of the parts once some are gone.
func (s *crowd) score(node string, cpu, mem float64, service bool, gone []*member) float64 {
	n, mates := s.node(node), 0
	for _, a := range s.allocs {
		if a.node == node && !slices.Contains(gone, a) {
			cpu, mem = cpu+a.cpu, mem+a.mem
			if a.mate {
				mates++
			}
		}
	}
	total := math.Pow(10, 1-cpu/float64(n.NodeResources.Cpu.CpuShares)) + math.Pow(10, 1-mem/float64(n.NodeResources.Memory.MemoryMB))
	parts := []float64{(20 - total) / 18}
	if s.algorithm == structs.SchedulerSpread {
		parts[0] = (total - 2) / 18
	}
	if mates > 0 && service {
		parts = append(parts, math.Max(-1, -float64(mates+1)/3))
	}
	if len(gone) > 0 {
		cost, before := 0.0, map[string]int{}
		for _, a := range gone {
			cost += float64(a.priority) + s.penalty(a.group, a.parallel, before[a.group])
			before[a.group]++
		}
		parts = append(parts, (100-cost)/(100+cost))
	}
	var sum float64
	for _, p := range parts {
		sum += p
	}
	return sum / float64(len(parts))
}

func (s *crowd) judge(t *rapid.T, ask *Ask, c Choice) {
	r := ask.Group.Tasks[0].Resources
	cpu, mem, port := float64(*r.CPU), float64(*r.MemoryMB), 0
	if len(ask.Group.Networks) > 0 {
		port = 80
	}
	service := ask.Job.GetType() == "service"
	scores, gone, free := map[string]float64{}, map[string][]*member{}, false
	for _, n := range s.nodes {
		free = free || s.fits(n.ID, cpu, mem, port)
	}
	best := math.Inf(-1)
	for _, n := range s.nodes {
		if free && !s.fits(n.ID, cpu, mem, port) {
			continue
		}
		if who, ok := s.victims(n.ID, cpu, mem, port); ok {
			gone[n.ID], scores[n.ID] = who, s.score(n.ID, cpu, mem, service, who)
			best = max(best, scores[n.ID])
		}
	}
	if !c.OK {
		if len(scores) > 0 {
			t.Fatalf("no node chosen, but one could: %v", scores)
		}
		return
	}
	got, could := scores[c.NodeID]
	switch {
	case free && len(c.Preempts) > 0:
		t.Fatalf("%v have to go although a node has room", c.Preempts)
	case !could:
		t.Fatalf("%s chosen, which can't", c.NodeID)
	case got < best-1e-9:
		t.Fatalf("%s chosen with %.12f, the best is %.12f", c.NodeID, got, best)
	}
	var who []string
	for _, a := range gone[c.NodeID] {
		who = append(who, a.id)
		delete(s.allocs, a.id)
		s.gone[a.group]++
	}
	slices.Sort(who)
	if !slices.Equal(who, c.Preempts) {
		t.Fatalf("%v have to go from %s, by the rule it is %v", c.Preempts, c.NodeID, who)
	}
	s.rows++
	id := fmt.Sprint("new-", s.rows)
	s.allocs[id] = &member{id: id, node: c.NodeID, group: "high", priority: s.priority, cpu: cpu, mem: mem, port: port, mate: true}
}
