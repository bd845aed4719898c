package state

import (
	"slices"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestUpdateInPlace(t *testing.T) {
	w := newWorld(t)
	node := w.addNode()
	e := w.register(testJob("web", 2))
	placed := w.place(e, rowsOn(node, node)...)
	e2 := w.register(testJob("web", 3))
	p := w.plan(e2)
	p.InPlace = []structs.AllocInPlace{{AllocID: placed[0], Resources: ask(600, 256)}}
	equal(t, "refused", w.refusal(p), map[string]string{})
	a := w.snap().Alloc(placed[0])
	equal(t, "moved", []any{a.JobVersion(), a.EvalID, a.DesiredDescription}, []any{uint64(1), e2.ID, "alloc updating in-place"})
	equal(t, "the other stays", w.snap().Alloc(placed[1]).JobVersion(), uint64(0))
	equal(t, "usage", w.snap().NodeUsage(node).CPU, int64(1100))
	equal(t, "by old evaluation", len(slices.Collect(w.snap().AllocsByEval(e.ID))), 1)
	equal(t, "by new evaluation", len(slices.Collect(w.snap().AllocsByEval(e2.ID))), 1)
	p = w.plan(e2)
	p.InPlace = []structs.AllocInPlace{{AllocID: placed[0], Resources: ask(4000, 256)}}
	equal(t, "too large", w.refusal(p), map[string]string{node: "cpu exhausted"})
	equal(t, "usage", w.snap().NodeUsage(node).CPU, int64(1100))
}

func TestWhatIsDoneMeanwhileIsUpdatedInPlace(t *testing.T) {
	for kind, want := range map[string]map[string]uint64{
		"batch":   {"complete": 1, "failed": 0, "running": 1},
		"service": {"complete": 0, "failed": 0, "running": 1},
	} {
		for status, version := range want {
			w := newWorld(t)
			node := w.addNode()
			job := func(count int) *structs.Job {
				j := testJob("web", count)
				j.Type = &kind
				return j
			}
			id := w.place(w.register(job(1)), rowsOn(node)...)[0]
			p := w.plan(w.register(job(2)))
			p.InPlace = []structs.AllocInPlace{{AllocID: id}}
			w.report(id, status)
			w.refusal(p)
			a := w.snap().Alloc(id)
			equal(t, kind+" "+status, []any{a.JobVersion(), a.ClientStatus}, []any{version, status})
		}
	}
}
