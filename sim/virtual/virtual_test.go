package virtual

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/loop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Unix(0, 0)

func newRuntime(seed uint64) *Runtime { return New(start, rand.New(rand.NewPCG(seed, 1))) }

// story has three functions tick beside each other and returns what they did.
func story(seed uint64) string {
	r := newRuntime(seed)
	m := r.Machine("a")
	var out string
	m.Go("main", func() {
		g := loop.New(m.Context())
		for _, name := range []string{"x", "y", "z"} {
			g.Go(name, func(ctx context.Context) error {
				for range 3 {
					out += name
					if err := loop.Sleep(ctx, m, time.Second); err != nil {
						return err
					}
				}
				return nil
			})
		}
		err := g.Wait()
		out += fmt.Sprint(" ", m.Now().Sub(start), err)
	})
	r.Run(start.Add(time.Minute))
	return out
}

func TestOneSeedIsOneHistory(t *testing.T) {
	different := map[string]bool{}
	for seed := range uint64(20) {
		once, again := story(seed), story(seed)
		if once != again {
			t.Fatalf("seed %d gave %q, then %q", seed, once, again)
		}
		if len(once) != len("xyzxyzxyz 3s <nil>") {
			t.Fatalf("seed %d: %q", seed, once)
		}
		different[once] = true
	}
	if len(different) < 5 {
		t.Errorf("20 seeds gave only %d histories", len(different))
	}
}

func TestChannelsContextsAndTimeoutsWake(t *testing.T) {
	r := newRuntime(1)
	m := r.Machine("a")
	bell, never := make(chan struct{}, 1), make(chan struct{})
	var which int
	var timedOut, canceled error
	m.Go("waits", func() {
		which, _ = loop.Wait(m.Context(), m, time.Hour, never, bell)
		ctx, cancel := loop.WithTimeout(m.Context(), time.Minute)
		defer cancel()
		_, timedOut = loop.Await(ctx, never)
		g := loop.New(m.Context())
		g.Go("until stopped", func(ctx context.Context) error {
			_, canceled = loop.Await(ctx, never)
			return canceled
		})
		g.Stop()
		if err := g.Wait(); err != nil {
			t.Errorf("the group ended with %v", err)
		}
	})
	m.Go("rings", func() {
		_ = loop.Sleep(m.Context(), m, time.Second)
		bell <- struct{}{}
	})
	r.Run(start.Add(2 * time.Second))
	if which != 1 {
		t.Errorf("woken by %d", which)
	}
	r.Run(start.Add(2 * time.Minute))
	if !errors.Is(timedOut, context.DeadlineExceeded) || !errors.Is(canceled, context.Canceled) {
		t.Errorf("ended with %v and %v", timedOut, canceled)
	}
}

func TestTheKilledTakeNoMoreSteps(t *testing.T) {
	r := newRuntime(1)
	m, other := r.Machine("a"), r.Machine("b")
	steps, cleaned, alive := 0, false, 0
	m.Go("works", func() {
		defer func() { cleaned = true }()
		for {
			steps++
			_ = loop.Sleep(m.Context(), m, time.Second)
		}
	})
	other.Go("works", func() {
		for range 100 {
			alive++
			_ = loop.Sleep(other.Context(), other, time.Second)
		}
	})
	r.Run(start.Add(5500 * time.Millisecond))
	m.Kill()
	r.Run(start.Add(time.Hour))
	if steps != 6 || !cleaned || alive != 100 {
		t.Errorf("%d steps, unwound: %v, the other one took %d", steps, cleaned, alive)
	}
	m = r.Machine("c")
	m.Go("kills itself", func() {
		m.Kill()
		t.Error("it went on")
	})
	r.Run(r.Now().Add(time.Second))
}

func TestTheFrozenGoOnWhereTheyWere(t *testing.T) {
	r := newRuntime(1)
	m := r.Machine("a")
	var at []time.Duration
	m.Go("works", func() {
		for range 4 {
			_ = loop.Sleep(m.Context(), m, time.Second)
			at = append(at, m.Now().Sub(start))
		}
	})
	r.Run(start.Add(1500 * time.Millisecond))
	m.Freeze()
	r.Run(start.Add(10 * time.Second))
	m.Thaw()
	r.Run(start.Add(time.Minute))
	if got := fmt.Sprint(at); got != "[1s 10s 11s 12s]" {
		t.Error(got)
	}
}

func BenchmarkTurn(b *testing.B) {
	r := newRuntime(1)
	for range 50 {
		m := r.Machine("m")
		for range 20 {
			m.Go("works", func() {
				for {
					_ = loop.Sleep(m.Context(), m, time.Second)
				}
			})
		}
		defer m.Kill()
	}
	b.ReportAllocs()
	for r.Steps() < b.N {
		r.Step(r.now.Add(time.Hour))
	}
}
