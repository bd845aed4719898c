package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTakeWaitsForWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(clock.Real{}, Options{})
		began := time.Now()
		e := eval("e", "job", 50, 1)
		e.WaitUntil = began.Add(time.Hour)
		b.Enqueue(e)
		ds, err := b.Take(t.Context(), 1)
		if err != nil || taken(ds) != "e " {
			t.Fatalf("took %q, %v", taken(ds), err)
		}
		if waited := time.Since(began); waited < time.Hour || waited > time.Hour+time.Second {
			t.Fatalf("waited %s", waited)
		}
	})
}

func TestTakeWakesForNewWorkAndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(clock.Real{}, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		g := loop.New(ctx)
		got := make(chan string, 1)
		g.Go("take", func(ctx context.Context) error {
			ds, err := b.Take(ctx, 1)
			got <- taken(ds)
			if err != nil {
				return err
			}
			_, err = b.Take(ctx, 1)
			return err
		})
		synctest.Wait()
		b.Enqueue(eval("e", "job", 50, 1))
		if s := <-got; s != "e " {
			t.Fatalf("took %q", s)
		}
		synctest.Wait()
		cancel()
		if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

func TestPauseHoldsBack(t *testing.T) {
	b := New(clock.Real{}, Options{})
	b.SetPaused(true)
	b.Enqueue(eval("e", "job", 50, 1))
	if ds := b.Poll(1); len(ds) != 0 {
		t.Fatalf("took %q while paused", taken(ds))
	}
	b.SetPaused(false)
	if ds := b.Poll(1); taken(ds) != "e " {
		t.Fatalf("took %q", taken(ds))
	}
}

func TestLitterTellsOfSupersededEvaluations(t *testing.T) {
	b := New(clock.Real{}, Options{})
	b.Enqueue(eval("a", "job", 50, 1), eval("b", "job", 50, 2), eval("c", "job", 50, 3))
	b.Poll(1)
	b.Ack("a")
	select {
	case <-b.Litter():
	default:
		t.Fatal("nothing told")
	}
	if superseded, dead, missed := b.Collect(); len(superseded) != 1 || len(dead) != 0 || missed {
		t.Fatalf("collected %v %v %v", superseded, dead, missed)
	}
}
