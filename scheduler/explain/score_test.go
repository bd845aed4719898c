package explain

import (
	"math"
	"testing"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// Alloc finds an allocation, as a snapshot does.
func (w *world) Alloc(id string) *structs.Allocation {
	for _, a := range w.allocs {
		if a.ID == id {
			return a
		}
	}
	return nil
}

// adds reports whether a score is the mean of the parts that are told.
func adds(s *structs.NodeScore) bool {
	var sum float64
	for _, part := range s.Parts {
		sum += part
	}
	return len(s.Parts) > 0 && math.Abs(sum/float64(len(s.Parts))-s.Score) < 1e-9
}

// TestPartsGiveTheScore: the mean of the parts is the score, of which some are
// 0 and some are absent: now, as stored, and as planned.
func TestPartsGiveTheScore(t *testing.T) {
	w := &world{job: newJob(8, 400, 600)}
	w.job.TaskGroups[0].Affinities = []*structs.Affinity{{LTarget: "${attr.rack}", RTarget: "b", Operand: "=", Weight: new(int8(50))}}
	w.job.TaskGroups[0].Spreads = []*structs.Spread{{Attribute: "${attr.rack}", Weight: new(int8(50))}}
	w.node("one", "a", 4000, 4000)
	w.node("two", "b", 4000, 4000)
	w.run("web.web[0]", "one", 0)
	in := w.input()
	d, err := scheduler.Schedule(scheduler.Input{
		View: in.View, Capacity: in.Capacity, Now: in.Now, Seed: 7, NewID: func() string { return "id" },
		Eval: &structs.Evaluation{ID: "e", Namespace: "default", JobID: "web", Type: "service", TriggeredBy: structs.TriggerJobRegister, Status: structs.EvalStatusPending},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, _ := Outcome(w, w.job, d.Plan)
	placed := 0
	for _, p := range out.Placements {
		placed += p.Count
		if !adds(p.Score) || p.LowestScore >= p.HighestScore || p.Score.Score > p.HighestScore || p.Score.Score < p.LowestScore {
			t.Errorf("planned on %s: %+v, scores from %v to %v", p.NodeID, p.Score, p.LowestScore, p.HighestScore)
		}
	}
	if placed != 7 {
		t.Fatalf("%d are placed", placed)
	}
	for _, s := range WhyAlloc(in, w.allocs[0]).Now.Survey.Best {
		if _, told := s.Parts["node-affinity"]; !told || !adds(s) {
			t.Errorf("now: %+v", s)
		}
	}
	w.allocs[0].Metrics = d.Plan.Groups[0].Metrics
	for _, s := range WhyAlloc(in, w.allocs[0]).Then.Scores {
		if !adds(s) {
			t.Errorf("as stored: %+v", s)
		}
	}
}
