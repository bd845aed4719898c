package scheduler_test

import (
	"testing"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// decided schedules a job and returns what is told of its one row.
func decided(t *testing.T, in scheduler.Input) *structs.AllocationMetric {
	t.Helper()
	d, err := scheduler.Schedule(in)
	if err != nil || rows(d) != 1 {
		t.Fatalf("%v; %d rows", err, rows(d))
	}
	g := d.Plan.Groups[0]
	if m := g.Rows[0].Metrics; m != nil {
		return m
	}
	return g.Metrics
}

func TestTheScoreOfAPreemptionIsTold(t *testing.T) {
	p, c, running := full(3)
	p.job = service(1)
	p.job.Priority = ptr(80)
	in := input(p, c)
	in.Running, in.Config = running, &structs.SchedulerConfiguration{PreemptionConfig: structs.PreemptionConfig{ServiceSchedulerEnabled: true}}
	best := decided(t, in).ScoreMetaData[0]
	if best.Scores.Get("preemption") <= 0 {
		t.Errorf("scores %+v", best)
	}
}

// One spread is enough for its part of the score to be told, and to be a part of it.
func TestTheScoreOfASpreadIsTold(t *testing.T) {
	p, c := farm(40, 2)
	p.job = service(1)
	p.job.TaskGroups[0].Spreads = []*structs.Spread{{Attribute: "${attr.rack}", Weight: ptr(int8(100)),
		SpreadTarget: []*structs.SpreadTarget{{Value: "r4", Percent: 100}}}}
	m := decided(t, input(p, c))
	if best := p.nodes[m.ScoreMetaData[0].NodeID]; best.Attributes["rack"] != "r4" {
		t.Errorf("the best is %s", best.Name)
	}
	for i, s := range m.ScoreMetaData {
		spread := s.Scores.Get("allocation-spread")
		if wanted := p.nodes[s.NodeID].Attributes["rack"] == "r4"; wanted != (spread >= 0) {
			t.Errorf("node %s has spread score %v", s.NodeID, spread)
		}
		if mean := (s.Scores.Get("binpack") + spread) / 2; mean-s.NormScore > 1e-12 || s.NormScore-mean > 1e-12 {
			t.Errorf("%+v is no mean of its parts", s)
		}
		if i > 0 && s.NormScore > m.ScoreMetaData[i-1].NormScore {
			t.Errorf("node %d is better than the one before it", i)
		}
	}
}

// A datacenter that is asked for by name is told of also if no node is there.
func TestADatacenterWithoutNodesIsTold(t *testing.T) {
	p, c := farm(3, 0)
	p.job = service(1)
	p.job.Datacenters = []string{"dc1", "mars", "x*"}
	m := decided(t, input(p, c))
	n, told := m.NodesAvailable["mars"]
	if _, pattern := m.NodesAvailable["x*"]; n != 0 || !told || pattern || m.NodesAvailable["dc1"] != 3 {
		t.Errorf("available: %v", m.NodesAvailable)
	}
}

// What a system job lacks room on is counted by dimension and class, each node once.
func TestNodesWithoutRoomAreCountedOnce(t *testing.T) {
	p, c := farm(4, 0)
	for _, n := range p.nodes {
		n.NodeClass = "small"
		c.UpsertNode(n)
	}
	p.job = service(1)
	p.job.Type = ptr(structs.JobTypeSystem)
	p.job.TaskGroups[0].Tasks[0].Resources.CPU = ptr(10_000) // every fourth node has no more than 8,000
	in := input(p, c)
	in.Eval.Type = structs.JobTypeSystem
	d, err := scheduler.Schedule(in)
	m := d.Eval.FailedTGAllocs["web"]
	if err != nil || m == nil || m.NodesExhausted != 1 || m.ClassExhausted["small"] != 1 || m.DimensionExhausted["cpu"] != 1 {
		t.Errorf("%v; failed: %+v", err, m)
	}
}

func TestWhatATaskAsksOfWhatIsLackingIsTold(t *testing.T) {
	p, c := farm(2, 0)
	for _, n := range p.nodes {
		n.NodeResources.Cpu.ReservableCpuCores = []uint16{0, 1, 2}
		n.NodeResources.Cpu.TotalCpuCores = 3
		c.UpsertNode(n)
	}
	p.job = service(3) // a node has cores for one
	p.job.TaskGroups[0].Tasks[0].Resources.Cores = ptr(2)
	in := input(p, c)
	d, err := scheduler.Schedule(in)
	m := d.Eval.FailedTGAllocs["web"]
	if err != nil || m == nil || m.ResourcesExhausted["web"] == nil || structs.Value(m.ResourcesExhausted["web"].Cores) != 2 {
		t.Errorf("%v; failed: %+v", err, m)
	}
}
