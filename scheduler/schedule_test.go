package scheduler_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

func TestUnsupportedJobTypes(t *testing.T) {
	p, c := farm(1, 0)
	p.job = service(1)
	for _, kind := range []string{structs.JobTypeCore, ""} {
		in := input(p, c)
		in.Eval.Type = kind
		if _, err := scheduler.Schedule(in); !errors.Is(err, scheduler.ErrUnsupportedJobType) {
			t.Errorf("type %q: %v", kind, err)
		}
	}
}

// TestLargeJobsComeInSlices schedules more than a plan holds, on nodes that
// have room for less than that.
func TestLargeJobsComeInSlices(t *testing.T) {
	p, c := farm(90, 0)
	p.job = service(3 * scheduler.MaxPlacements)
	room := 0
	for _, n := range p.nodes {
		room += int(min(n.NodeResources.Cpu.CpuShares/100, n.NodeResources.Memory.MemoryMB/128))
	}
	if room < scheduler.MaxPlacements || room >= 2*scheduler.MaxPlacements {
		t.Fatalf("room for %d proves nothing", room)
	}
	first, err := scheduler.Schedule(input(p, c))
	if err != nil || !first.More || rows(first) != scheduler.MaxPlacements || first.Eval.Status != "" || len(first.FollowUps) > 0 {
		t.Fatalf("%v, more %t, %d rows, status %q", err, first.More, rows(first), first.Eval.Status)
	}
	p.allocs, p.deploy = run(t, p, c), first.Plan.Deployment
	second, err := scheduler.Schedule(input(p, c))
	if err != nil || second.More || rows(second) != room-scheduler.MaxPlacements || second.Eval.Status != structs.EvalStatusComplete {
		t.Fatalf("%v, more %t, %d rows, status %q", err, second.More, rows(second), second.Eval.Status)
	}
	left := 3*scheduler.MaxPlacements - room
	if m := second.Eval.FailedTGAllocs["web"]; second.Eval.QueuedAllocations["web"] != left || m.CoalescedFailures != left-1 {
		t.Errorf("%d queued, want %d; %+v", second.Eval.QueuedAllocations["web"], left, m)
	}
	if second.Plan.Deployment != nil {
		t.Error("a second deployment of one version")
	}
	if len(second.FollowUps) != 1 || second.FollowUps[0].ID != second.Eval.BlockedEval {
		t.Errorf("follow-ups %+v", second.FollowUps)
	}
}

func rows(d scheduler.Decision) int {
	n := 0
	for _, g := range d.Plan.Groups {
		n += len(g.Rows)
	}
	return n
}

func TestBlockedEvaluationsSayForWhichNodesTheyWait(t *testing.T) {
	p, c := farm(8, 0)
	p.job = service(1)
	p.job.TaskGroups[0].Tasks[0].Resources.CPU = ptr(1_000_000)
	p.job.TaskGroups[0].Constraints = []*structs.Constraint{{LTarget: "${attr.rack}", Operand: "!=", RTarget: "r1"}}
	d, err := scheduler.Schedule(input(p, c))
	if err != nil || len(d.FollowUps) != 1 {
		t.Fatalf("%v, %+v", err, d.FollowUps)
	}
	e := d.FollowUps[0]
	if e.Status != structs.EvalStatusBlocked || e.TriggeredBy != structs.TriggerQueuedAllocs || e.StatusDescription != structs.DescEvalBlocked ||
		e.EscapedComputedClass || e.PreviousEval != d.Eval.ID || len(e.ClassEligibility) != 4 || !e.ClassEligibility["class-0"] {
		t.Errorf("got %+v", e)
	}
	p.job.TaskGroups[0].Constraints = []*structs.Constraint{{LTarget: "${attr.kernel.name}", Operand: "=", RTarget: "plan9"}, {LTarget: "${node.unique.id}", Operand: "is_set"}}
	d, err = scheduler.Schedule(input(p, c))
	if err != nil || !d.FollowUps[0].EscapedComputedClass || d.FollowUps[0].ClassEligibility["class-0"] {
		t.Errorf("%v, got %+v", err, d.FollowUps[0])
	}
}

// TestExplanation checks that scores add up and counts are true.
func TestExplanation(t *testing.T) {
	p, c := farm(40, 3)
	p.job = service(2)
	p.job.TaskGroups[0].Affinities = []*structs.Affinity{{LTarget: "${attr.rack}", Operand: "=", RTarget: "r3", Weight: ptr(int8(100))}}
	p.job.TaskGroups[0].Constraints = []*structs.Constraint{{LTarget: "${attr.rack}", Operand: "!=", RTarget: "r1"}}
	d, err := scheduler.Schedule(input(p, c))
	if err != nil {
		t.Fatal(err)
	}
	m := d.Plan.Groups[0].Metrics
	if m.NodesEvaluated != 40 || m.NodesFiltered != 1 || m.ConstraintFiltered["${attr.rack} != r1"] != 1 || m.NodesAvailable["dc1"] != 40 || m.NodesInPool != 40 {
		t.Errorf("got %+v", m)
	}
	if len(m.ScoreMetaData) != 5 || m.ScoreMetaData[0].NodeID != d.Plan.Groups[0].Rows[0].NodeID {
		t.Fatalf("got %+v", m.ScoreMetaData)
	}
	for i, s := range m.ScoreMetaData {
		mean := (s.Scores.Get("binpack") + s.Scores.Get("node-affinity")) / 2
		if diff := mean - s.NormScore; diff > 1e-12 || diff < -1e-12 || i > 0 && s.NormScore > m.ScoreMetaData[i-1].NormScore {
			t.Errorf("%d: %+v", i, s)
		}
	}
	second := d.Plan.Groups[0].Rows[1]
	if second.Metrics != nil {
		m = second.Metrics
	}
	if !slices.ContainsFunc(m.ScoreMetaData, func(s *structs.NodeScoreMeta) bool { return s.NodeID == second.NodeID }) {
		t.Errorf("the second row's node %s is not explained", second.NodeID)
	}
}
