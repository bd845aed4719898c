package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/server/history"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Whoever collects garbage faster than the disk takes the history waits for it, but
// not for ever: here nothing is written at all.
func TestTheHistoryIsNotWaitedForWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := history.Open(history.Config{Dir: t.TempDir(), Queue: 2})
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{history: h}
		if err := s.historyRoom(t.Context()); err != nil {
			t.Fatalf("with nothing to write: %v", err)
		}
		store, gone := s.newStore(16), []string{ids.New(), ids.New()}
		for i, id := range gone {
			store.Apply(uint64(i+1), &command.UpsertEvals{Evals: []*structs.Evaluation{{
				ID: id, Namespace: "default", JobID: "web", Type: "service", Status: structs.EvalStatusComplete,
			}}})
		}
		store.Apply(3, &command.Sweep{EvalIDs: gone})
		if n := h.Counts().Waiting; n != len(gone) {
			t.Fatalf("%d objects wait for the disk", n)
		}
		if err := s.historyRoom(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
