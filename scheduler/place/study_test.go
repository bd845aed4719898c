package place

import (
	"maps"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// TestAStudySaysWhatThePlannerDoes compares a study with what the planner then
// does: a node said to fit is taken when it is preferred and no other is, the
// best is chosen, and where nothing fits the counts are those of the planner's
// explanation.
func TestAStudySaysWhatThePlannerDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		s.options.Preempt = nil // a study is about free room
		for _, ask := range s.asks {
			compareStudy(t, s, ask.Job, ask.Group)
		}
	})
}

func compareStudy(t *rapid.T, s *scenario, job *structs.Job, group *structs.TaskGroup) {
	study := New(s.index, s.options).Study(job, group)
	filtered, exhausted := map[string]int{}, map[string]int{}
	evaluated := 0
	var best *Verdict
	study.Each(func(v Verdict) {
		evaluated++
		switch {
		case v.Filtered != "":
			filtered[v.Filtered]++
		case v.Exhausted != "":
			exhausted[v.Exhausted]++
		case best == nil || before(&v, best):
			best = &v
		}
		judgeVerdict(t, s, study, &v, job, group)
	})
	out := New(s.index, s.options).Group(Ask{Job: job, Group: group, Rows: make([]Row, 1)})
	if best != nil {
		c := out.Choices[0]
		chosen, _ := study.Node(c.NodeID)
		if !c.OK || math.Abs(chosen.Score.NormScore-best.Score.NormScore) > 1e-9 {
			t.Fatalf("the study's best is %s with %v, chosen is %+v", best.Node.ID, best.Score.NormScore, c)
		}
		return
	}
	if out.Failed == nil {
		t.Fatalf("nothing fits, yet %+v is chosen", out.Choices[0])
	}
	if m := out.Failed; m.NodesEvaluated != evaluated || !maps.Equal(m.ConstraintFiltered, filtered) && len(filtered) > 0 ||
		!maps.Equal(m.DimensionExhausted, exhausted) && len(exhausted) > 0 {
		t.Fatalf("the planner counts %+v, the study %d evaluated, %v filtered, %v exhausted", m, evaluated, filtered, exhausted)
	}
}

// before orders verdicts as the planner chooses: those with much to start last.
func before(v, o *Verdict) bool {
	if v.Busy != o.Busy {
		return o.Busy
	}
	return v.Score.NormScore > o.Score.NormScore || v.Score.NormScore == o.Score.NormScore && v.Tie < o.Tie
}

// judgeVerdict checks one node: the reasons agree with the verdict, and the
// planner takes exactly those that fit.
func judgeVerdict(t *rapid.T, s *scenario, study *Study, v *Verdict, job *structs.Job, group *structs.TaskGroup) {
	id := v.Node.ID
	conditions := len(study.Limits(id))
	for _, c := range study.Checks() {
		if !c.Make()(v.Node) {
			conditions++
		}
	}
	room := len(study.Shortages(id)) + len(study.Collisions(id))
	if (v.Filtered != "") != (conditions > 0) || v.Filtered == "" && (v.Exhausted != "") != (room > 0) {
		t.Fatalf("%s: verdict %+v, %d conditions fail, %d shortages", id, v, conditions, room)
	}
	out := New(s.index, s.options).Group(Ask{Job: job, Group: group, Rows: []Row{{Prefer: id}}})
	if taken := out.Choices[0].OK && out.Choices[0].NodeID == id; taken != v.Fits() {
		t.Fatalf("%s: verdict %+v, the planner took it: %v", id, v, taken)
	}
}
