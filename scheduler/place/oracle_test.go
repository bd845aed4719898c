package place

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/structs"
)

// TestMain asks for more scenarios than usual: they are small.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		if err := f.Value.Set("3000"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestEveryChoiceIsTheBest places random groups on random clusters and asks an
// oracle before each row: it looks at every node, knows no heaps and no stored
// powers, and computes the formulas from the manuals word by word. No choice
// may score below the oracle's best.
func TestEveryChoiceIsTheBest(t *testing.T) {
	p := New(capacity.New(), Options{}) // serves all scenarios: none may see what one left
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		p.Reset(s.index, s.options)
		for _, ask := range s.asks {
			out := p.Group(ask)
			failed := 0
			for i, c := range out.Choices {
				s.judge(t, &ask, &ask.Rows[i], c)
				if !c.OK {
					failed++
				}
			}
			if (out.Failed != nil) != (failed > 0) {
				t.Fatalf("%d rows failed, explanation %+v", failed, out.Failed)
			}
			if out.Failed != nil && out.Failed.CoalescedFailures != failed-1 {
				t.Fatalf("%d rows failed, %d coalesced", failed, out.Failed.CoalescedFailures)
			}
		}
	})
}

// scenario is a cluster as the oracle sees it.
type scenario struct {
	index   *capacity.Index
	nodes   []*structs.Node
	allocs  map[string]*placed // by id
	options Options
	asks    []Ask
	next    int
	starts  map[string]int // by node: allocations that have not started yet
}

type placed struct {
	group, node string
	cpu, mem    int
	ports       []int // those of the public network plus public
	cores       []uint16
	devices     []string // kind and id
	ours        bool     // of the job that is placed
}

func drawScenario(t *rapid.T) *scenario {
	s := &scenario{index: capacity.New(), allocs: map[string]*placed{}, starts: map[string]int{}}
	for i := range rapid.IntRange(1, rapid.SampledFrom([]int{12, 40}).Draw(t, "cluster")).Draw(t, "nodes") {
		n := drawNode(t, i)
		s.nodes = append(s.nodes, n)
		s.index.UpsertNode(n)
	}
	s.options = Options{
		Algorithm: rapid.SampledFrom([]string{structs.SchedulerBinPack, structs.SchedulerSpread}).Draw(t, "algorithm"),
		Seed:      rapid.Uint64().Draw(t, "seed"),
	}
	for range rapid.IntRange(0, 10).Draw(t, "others") {
		s.existing(t, false)
	}
	for range rapid.IntRange(0, rapid.SampledFrom([]int{6, 30}).Draw(t, "most of ours")).Draw(t, "ours") {
		s.existing(t, true)
	}
	s.starting(t)
	job := drawJob(t)
	for _, g := range job.TaskGroups {
		s.asks = append(s.asks, s.drawAsk(t, job, g))
	}
	return s
}

func drawNode(t *rapid.T, i int) *structs.Node {
	n := &structs.Node{
		ID: fmt.Sprintf("node-%d", i), Name: fmt.Sprintf("n%d", i), NodePool: "default",
		Datacenter: rapid.SampledFrom([]string{"dc1", "dc2"}).Draw(t, "dc"),
		Status:     structs.NodeStatusReady, Attributes: map[string]string{},
		SchedulingEligibility: rapid.SampledFrom([]string{"eligible", "eligible", "eligible", "ineligible"}).Draw(t, "eligibility"),
		NodeResources: &structs.NodeResources{
			Cpu:            structs.NodeCpuResources{CpuShares: int64(rapid.IntRange(1, 8).Draw(t, "cpu") * 500)},
			Memory:         structs.NodeMemoryResources{MemoryMB: int64(rapid.IntRange(1, 8).Draw(t, "mem") * 500)},
			Disk:           structs.NodeDiskResources{DiskMB: 1000},
			MinDynamicPort: 100, MaxDynamicPort: 103,
		},
		Drivers: map[string]*structs.DriverInfo{},
	}
	drawThings(t, n, i)
	if rack := rapid.SampledFrom([]string{"", "r1", "r2", "r3"}).Draw(t, "rack"); rack != "" {
		n.Attributes["rack"] = rack
	}
	return n
}

func drawJob(t *rapid.T) *structs.Job {
	job := &structs.Job{Type: ptr(rapid.SampledFrom([]string{"service", "batch"}).Draw(t, "type")), Datacenters: []string{"*"}}
	if rapid.IntRange(0, 3).Draw(t, "job constraint") == 0 {
		job.Constraints = append(job.Constraints, drawDistinct(t))
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "groups") {
		g := &structs.TaskGroup{Name: ptr(fmt.Sprintf("g%d", i)), Count: ptr(rapid.IntRange(1, 8).Draw(t, "count"))}
		g.Tasks = []*structs.Task{{Name: "t", Resources: &structs.Resources{
			CPU: ptr(rapid.IntRange(0, 8).Draw(t, "ask cpu") * 100), MemoryMB: ptr(rapid.IntRange(1, 8).Draw(t, "ask mem") * 100),
		}}}
		if rapid.Bool().Draw(t, "constraint") {
			g.Constraints = append(g.Constraints, rapid.SampledFrom([]*structs.Constraint{
				{LTarget: "${attr.rack}", Operand: "!=", RTarget: "r1"}, {LTarget: "${attr.rack}", Operand: "is_set"},
				{LTarget: "${node.datacenter}", Operand: "=", RTarget: "dc1"}, drawDistinct(t),
			}).Draw(t, "which"))
		}
		// Half of the groups ask for nothing that needs a look at every node.
		plain := rapid.Bool().Draw(t, "plain")
		for range rapid.IntRange(0, 2).Draw(t, "affinities") {
			if plain {
				break
			}
			g.Affinities = append(g.Affinities, &structs.Affinity{
				LTarget: "${attr.rack}", Operand: "=", RTarget: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "liked"),
				Weight: ptr(rapid.SampledFrom([]int8{-100, -30, 50, 100}).Draw(t, "weight")),
			})
		}
		for _, attribute := range []string{"${attr.rack}", "${node.datacenter}"} {
			if rapid.IntRange(0, 2).Draw(t, "spread") == 0 && !plain {
				g.Spreads = append(g.Spreads, drawSpread(t, attribute))
			}
		}
		if !plain {
			drawThingsAsked(t, g.Tasks[0].Resources)
		}
		switch rapid.IntRange(0, 5).Draw(t, "network") {
		case 0:
			g.Networks = []*structs.NetworkResource{{ReservedPorts: []structs.Port{{Label: "s", Value: rapid.SampledFrom([]int{80, 101}).Draw(t, "port")}}}}
		case 1:
			g.Networks = []*structs.NetworkResource{{DynamicPorts: []structs.Port{{Label: "a"}, {Label: "b"}}}}
		case 2:
			g.Networks = []*structs.NetworkResource{{
				ReservedPorts: []structs.Port{{Label: "s", Value: 101, HostNetwork: "pub"}}, DynamicPorts: []structs.Port{{Label: "a", HostNetwork: "pub"}, {Label: "b"}},
			}}
		}
		job.TaskGroups = append(job.TaskGroups, g)
	}
	return job
}

func drawDistinct(t *rapid.T) *structs.Constraint {
	return rapid.SampledFrom([]*structs.Constraint{
		{Operand: structs.OpDistinctHosts},
		{LTarget: "${attr.rack}", Operand: structs.OpDistinctProperty, RTarget: "2"},
	}).Draw(t, "distinct")
}

func drawSpread(t *rapid.T, attribute string) *structs.Spread {
	s := &structs.Spread{Attribute: attribute, Weight: ptr(int8(rapid.IntRange(1, 100).Draw(t, "spread weight")))}
	if rapid.Bool().Draw(t, "targets") {
		for _, v := range []string{"r1", "dc1"} {
			s.SpreadTarget = append(s.SpreadTarget, &structs.SpreadTarget{Value: v, Percent: uint8(rapid.IntRange(0, 50).Draw(t, "percent"))})
		}
	}
	return s
}

func ptr[T any](v T) *T { return &v }

// existing draws an allocation that runs already, within what its node has.
func (s *scenario) existing(t *rapid.T, ours bool) {
	n := rapid.SampledFrom(s.nodes).Draw(t, "on")
	a := &placed{group: rapid.SampledFrom([]string{"g0", "g1"}).Draw(t, "of"), node: n.ID, cpu: 100, mem: 100, ours: ours}
	if rapid.IntRange(0, 3).Draw(t, "has port") == 0 {
		a.ports = []int{rapid.SampledFrom([]int{80, 101, 102}).Draw(t, "held")}
	}
	s.drawThingsHeld(t, n, a)
	if s.misfit(n.ID, &demand{cpu: a.cpu, mem: a.mem, static: a.ports}) {
		return
	}
	id := s.add(a)
	if ours {
		s.options.Existing = append(s.options.Existing, Existing{ID: id, Group: a.group, NodeID: n.ID})
	}
	res := &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{"t": {
		Cpu: structs.AllocatedCpuResources{CpuShares: int64(a.cpu)}, Memory: structs.AllocatedMemoryResources{MemoryMB: int64(a.mem)},
	}}}
	for _, p := range a.ports {
		res.Shared.Ports = append(res.Shared.Ports, structs.PortMapping{Value: p})
	}
	a.give(res.Tasks["t"])
	s.index.SetAlloc(&structs.Allocation{ID: id, NodeID: n.ID, AllocatedResources: res})
}

// starting gives some nodes nearly as many allocations to start as they should
// have; they take nothing.
func (s *scenario) starting(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "starting") > 0 {
		return
	}
	for _, n := range s.nodes {
		s.starts[n.ID] = rapid.SampledFrom([]int{0, capacity.MaxStarting - 2, capacity.MaxStarting}).Draw(t, "starts")
		for i := range s.starts[n.ID] {
			s.index.SetAlloc(&structs.Allocation{
				ID: fmt.Sprintf("start-%s-%d", n.ID, i), NodeID: n.ID, ClientStatus: structs.AllocClientPending,
				AllocatedResources: &structs.AllocatedResources{},
			})
		}
	}
}

func (s *scenario) add(a *placed) string {
	s.next++
	id := fmt.Sprintf("alloc-%d", s.next)
	s.allocs[id] = a
	return id
}

func (s *scenario) drawAsk(t *rapid.T, job *structs.Job, g *structs.TaskGroup) Ask {
	ask := Ask{Job: job, Group: g, Rows: make([]Row, rapid.IntRange(1, 8).Draw(t, "rows"))}
	var mine []string
	for _, e := range s.options.Existing {
		if e.Group == g.GetName() {
			mine = append(mine, e.ID)
		}
	}
	for i := range ask.Rows {
		row := &ask.Rows[i]
		if len(mine) > 0 && rapid.Bool().Draw(t, "replaces") {
			row.Replaces, mine = mine[0], mine[1:]
		}
		if rapid.IntRange(0, 2).Draw(t, "penalty") == 0 {
			row.Penalized = []string{rapid.SampledFrom(s.nodes).Draw(t, "penalized").ID}
		}
		if rapid.IntRange(0, 5).Draw(t, "prefer") == 0 {
			row.Prefer = rapid.SampledFrom(s.nodes).Draw(t, "preferred").ID
		}
	}
	return ask
}

// judge compares a choice with the oracle's best, then carries it out.
func (s *scenario) judge(t *rapid.T, ask *Ask, row *Row, c Choice) {
	replaced := s.allocs[row.Replaces]
	delete(s.allocs, row.Replaces)
	best, bestNode, bestBusy := math.Inf(-1), "", true
	scores := map[string]float64{}
	for _, n := range s.nodes {
		if s.possible(ask, n) {
			score, busy := s.score(ask, row, n), s.starts[n.ID] >= capacity.MaxStarting
			if scores[n.ID] = score; bestNode == "" || !busy && bestBusy || busy == bestBusy && score > best {
				best, bestNode, bestBusy = score, n.ID, busy
			}
		}
	}
	if !c.OK {
		if bestNode != "" {
			t.Fatalf("no node chosen, but %s fits", bestNode)
		}
		if replaced != nil {
			s.allocs[row.Replaces] = replaced
		}
		return
	}
	got, fits := scores[c.NodeID]
	switch {
	case !fits:
		t.Fatalf("%s chosen, which doesn't fit", c.NodeID)
	case row.Prefer != "" && hasKey(scores, row.Prefer):
		if c.NodeID != row.Prefer {
			t.Fatalf("%s chosen instead of the preferred %s", c.NodeID, row.Prefer)
		}
	case s.starts[c.NodeID] >= capacity.MaxStarting != bestBusy:
		t.Fatalf("%s chosen, which is busy, before %s", c.NodeID, bestNode)
	case got < best-1e-9:
		t.Fatalf("%s chosen with %.12f, but %s has %.12f", c.NodeID, got, bestNode, best)
	}
	s.checkPorts(t, ask, c)
	s.starts[c.NodeID]++
	need := s.demand(ask, s.node(c.NodeID))
	a := &placed{group: ask.Group.GetName(), node: c.NodeID, ours: true, cpu: need.cpu, mem: need.mem}
	for _, p := range c.Ports {
		a.ports = append(a.ports, portKey(p))
	}
	s.checkThings(t, need, c, a)
	s.add(a)
}

func hasKey(m map[string]float64, k string) bool { _, ok := m[k]; return ok }

func (s *scenario) checkPorts(t *rapid.T, ask *Ask, c Choice) {
	asked := 0
	for _, n := range ask.Group.Networks {
		asked += len(n.ReservedPorts) + len(n.DynamicPorts)
	}
	if len(c.Ports) != asked {
		t.Fatalf("%d ports asked, got %v", asked, c.Ports)
	}
	seen := []int{}
	for _, p := range c.Ports {
		if p.Label != "s" && (p.Value < 100 || p.Value > 103) {
			t.Fatalf("port %v is not in the dynamic range", p)
		}
		if slices.Contains(seen, portKey(p)) || s.taken(c.NodeID, portKey(p)) {
			t.Fatalf("port %v is taken on %s", p, c.NodeID)
		}
		seen = append(seen, portKey(p))
	}
}

func (s *scenario) taken(node string, port int) bool {
	for _, a := range s.allocs {
		if a.node == node && slices.Contains(a.ports, port) {
			return true
		}
	}
	return false
}

// misfit reports whether a node lacks room.
func (s *scenario) misfit(node string, need *demand) bool {
	cpu, mem := need.cpu, need.mem
	for _, a := range s.allocs {
		if a.node == node {
			cpu, mem = cpu+a.cpu, mem+a.mem
		}
	}
	n := s.node(node)
	if int64(cpu) > n.NodeResources.Cpu.CpuShares || int64(mem) > n.NodeResources.Memory.MemoryMB {
		return true
	}
	free := [2]int{}
	for p := 100; p <= 103; p++ {
		for net, offset := range []int{0, public} {
			if !s.taken(node, p+offset) && !slices.Contains(need.static, p+offset) {
				free[net]++
			}
		}
	}
	return free[0] < need.dynamic || free[1] < need.public || s.lacksThings(n, need) ||
		slices.ContainsFunc(need.static, func(p int) bool { return s.taken(node, p) })
}

func (s *scenario) node(id string) *structs.Node {
	return s.nodes[slices.IndexFunc(s.nodes, func(n *structs.Node) bool { return n.ID == id })]
}

// possible reports whether a node may take the next row.
func (s *scenario) possible(ask *Ask, n *structs.Node) bool {
	if n.SchedulingEligibility != "eligible" {
		return false
	}
	for _, c := range slices.Concat(ask.Job.Constraints, ask.Group.Constraints) {
		rack, has := n.Attributes["rack"]
		ok := true
		switch c.Operand {
		case "is_set":
			ok = has
		case "!=":
			ok = rack != c.RTarget
		case "=":
			ok = n.Datacenter == c.RTarget
		case structs.OpDistinctHosts:
			ok = s.countOurs(ask, slices.Contains(ask.Job.Constraints, c), func(o *structs.Node) bool { return o == n }) == 0
		case structs.OpDistinctProperty:
			ok = has && s.countOurs(ask, slices.Contains(ask.Job.Constraints, c), func(o *structs.Node) bool { return o.Attributes["rack"] == rack }) < 2
		}
		if !ok {
			return false
		}
	}
	return s.couldHave(ask, n) && !s.misfit(n.ID, s.demand(ask, n))
}

func (s *scenario) countOurs(ask *Ask, wholeJob bool, on func(*structs.Node) bool) int {
	count := 0
	for _, a := range s.allocs {
		if a.ours && (wholeJob || a.group == ask.Group.GetName()) && on(s.node(a.node)) {
			count++
		}
	}
	return count
}

// score computes the mean of the parts that are present.
func (s *scenario) score(ask *Ask, row *Row, n *structs.Node) float64 {
	need := s.demand(ask, n)
	cpu, mem := need.cpu, need.mem
	mates := 0
	for _, a := range s.allocs {
		if a.node != n.ID {
			continue
		}
		cpu, mem = cpu+a.cpu, mem+a.mem
		if a.ours && a.group == ask.Group.GetName() {
			mates++
		}
	}
	total := math.Pow(10, 1-float64(cpu)/float64(n.NodeResources.Cpu.CpuShares)) +
		math.Pow(10, 1-float64(mem)/float64(n.NodeResources.Memory.MemoryMB))
	fit := (20 - total) / 18
	if s.options.Algorithm == structs.SchedulerSpread {
		fit = (total - 2) / 18
	}
	parts := []float64{fit}
	if mates > 0 && ask.Job.GetType() == "service" {
		parts = append(parts, math.Max(-1, -float64(mates+1)/float64(ask.Group.GetCount())))
	}
	if slices.Contains(row.Penalized, n.ID) {
		parts = append(parts, -1)
	}
	if len(ask.Group.Affinities) > 0 {
		var sum, all float64
		for _, a := range ask.Group.Affinities {
			all += math.Abs(float64(*a.Weight))
			if n.Attributes["rack"] == a.RTarget {
				sum += float64(*a.Weight)
			}
		}
		parts = append(parts, sum/all)
	}
	if weights := blockWeights(need.blocks); weights > 0 {
		_, preference := s.assign(n, need.blocks)
		parts = append(parts, preference/weights)
	}
	if len(ask.Group.Spreads) > 0 {
		parts = append(parts, s.spreadScore(ask, n))
	}
	var sum float64
	for _, p := range parts {
		sum += p
	}
	return sum / float64(len(parts))
}

func (s *scenario) spreadScore(ask *Ask, n *structs.Node) float64 {
	var sum, all float64
	for _, sp := range ask.Group.Spreads {
		w := float64(*sp.Weight)
		all += w
		sum += w * s.spreadPart(ask, sp, n)
	}
	return sum / all
}

func (s *scenario) spreadPart(ask *Ask, sp *structs.Spread, n *structs.Node) float64 {
	value := func(n *structs.Node) string {
		if sp.Attribute == "${attr.rack}" {
			return n.Attributes["rack"]
		}
		return n.Datacenter
	}
	v := value(n)
	if v == "" {
		return -1
	}
	used := map[string]int{}
	for _, o := range s.nodes {
		if value(o) != "" && s.suits(ask, o) {
			used[value(o)] += 0
		}
	}
	reachable := map[string]bool{}
	for k := range used {
		reachable[k] = true
	}
	for _, a := range s.allocs {
		if k := value(s.node(a.node)); k != "" && a.ours && a.group == ask.Group.GetName() {
			used[k]++
		}
	}
	if len(sp.SpreadTarget) > 0 {
		return s.targetPart(ask, sp, v, used)
	}
	least, most := math.MaxInt, math.MinInt
	for k := range reachable {
		least, most = min(least, used[k]), max(most, used[k])
	}
	if least == most {
		return 0
	}
	return 1 - 2*float64(used[v]-least)/float64(most-least)
}

func (s *scenario) targetPart(ask *Ask, sp *structs.Spread, v string, used map[string]int) float64 {
	count := float64(ask.Group.GetCount())
	rest, others := 100.0, 0
	for k, n := range used {
		if !slices.ContainsFunc(sp.SpreadTarget, func(t *structs.SpreadTarget) bool { return t.Value == k }) {
			others += n
		}
	}
	for _, t := range sp.SpreadTarget {
		rest -= float64(t.Percent)
	}
	desired, have := rest/100*count, others
	for _, t := range sp.SpreadTarget {
		if t.Value == v {
			desired, have = float64(t.Percent)/100*count, used[v]
		}
	}
	if desired <= 0 {
		return -1
	}
	return math.Max(-1, (desired-float64(have)-1)/desired)
}

// suits reports whether a node satisfies the conditions that don't change.
func (s *scenario) suits(ask *Ask, n *structs.Node) bool {
	if !s.couldHave(ask, n) {
		return false
	}
	if n.SchedulingEligibility != "eligible" {
		return false
	}
	for _, c := range ask.Group.Constraints {
		rack, has := n.Attributes["rack"]
		if c.Operand == "is_set" && !has || c.Operand == "!=" && rack == c.RTarget || c.Operand == "=" && n.Datacenter != c.RTarget {
			return false
		}
	}
	return true
}
