package reconcile

import (
	"testing"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// TestWhichOfTwoGoesOn has an allocation come back after it was replaced.
func TestWhichOfTwoGoesOn(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	// side is one of the two: its job version, whether it runs, since when, and the
	// score with which its node was chosen.
	type side struct {
		version uint64
		runs    bool
		since   time.Duration
		score   float64
	}
	of := func(s side, node string) *structs.Allocation {
		a := &structs.Allocation{
			ID: node, NodeID: node, Job: &structs.Job{Version: &s.version}, ClientStatus: structs.AllocClientPending,
			CreateTime: noon.Add(s.since).UnixNano(),
			Metrics:    &structs.AllocationMetric{ScoreMetaData: []*structs.NodeScoreMeta{{NodeID: "other", NormScore: 9}, {NodeID: node, NormScore: s.score}}},
		}
		if s.runs {
			a.ClientStatus = structs.AllocClientRunning
			a.TaskStates = map[string]*structs.TaskState{
				"side": {StartedAt: noon.Add(s.since + time.Hour)}, "main": {StartedAt: noon.Add(s.since)}, "waits": {},
			}
		}
		return a
	}
	runs := side{runs: true}
	for _, c := range []struct {
		name, how             string
		original, replacement side
		want                  bool
	}{
		{"nothing is said: equal scores", "", runs, runs, true},
		{"nothing is said: a better score", "", side{runs: true, score: 0.5}, side{runs: true, score: 0.4}, true},
		{"nothing is said: a worse score", "", side{runs: true, score: 0.4}, side{runs: true, score: 0.5}, false},
		{"best score", structs.ReconcileBestScore, side{runs: true, score: 0.4}, side{runs: true, score: 0.5}, false},
		{"keep the original", structs.ReconcileKeepOriginal, side{runs: true, score: 0.1}, side{runs: true, score: 0.9}, true},
		{"keep the replacement", structs.ReconcileKeepReplacement, side{runs: true, score: 0.9}, side{runs: true, score: 0.1}, false},
		{"longest running: the original", structs.ReconcileLongestRunning, runs, side{runs: true, since: time.Minute}, true},
		{"longest running: the replacement", structs.ReconcileLongestRunning, side{runs: true, since: time.Minute}, runs, false},
		{"longest running: both alike", structs.ReconcileLongestRunning, runs, runs, true},
		{"a replacement that doesn't run yet", structs.ReconcileKeepReplacement, runs, side{}, true},
		{"the replacement is of a newer version", structs.ReconcileKeepOriginal, runs, side{version: 1, runs: true}, false},
		{"and doesn't run yet", structs.ReconcileKeepOriginal, runs, side{version: 1}, false},
		{"the original is of a newer version", structs.ReconcileKeepReplacement, side{version: 1, runs: true}, runs, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &group{tg: &structs.TaskGroup{Disconnect: &structs.DisconnectStrategy{}}}
			if c.how != "" {
				g.tg.Disconnect.Reconcile = &c.how
			} else {
				g.tg.Disconnect.Reconcile = nil
			}
			if got := g.prefersOriginal(of(c.original, "a"), of(c.replacement, "b")); got != c.want {
				t.Errorf("the original goes on: %v", got)
			}
		})
	}
}
