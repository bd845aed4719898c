package loop

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
)

// Elapsed is what Wait returns when time is over.
const Elapsed = -1

// Runtime starts functions and lets them wait. Code whose context has none runs
// on Go's scheduler and waits on the clock it was given; under a Runtime the very
// same code runs one function at a time, in an order and at a time that the
// Runtime decides. For that, everything that waits does so here, in a Group, or
// in what the Runtime's owner hands to it.
type Runtime interface {
	// Go has f run, beside or after its caller.
	Go(name string, f func())
	// Wait is what the function Wait promises, but for the error.
	Wait(ctx context.Context, d time.Duration, wakes []<-chan struct{}) int
	// WithTimeout is context.WithTimeout in the Runtime's time.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

type runtimeKey struct{}

// Under returns a context whose Groups and waits are r's.
func Under(ctx context.Context, r Runtime) context.Context {
	return context.WithValue(ctx, runtimeKey{}, r)
}

func runtimeOf(ctx context.Context) Runtime {
	r, _ := ctx.Value(runtimeKey{}).(Runtime)
	return r
}

// Wait returns when one of wakes gives something or is closed, with its number;
// when d is over (zero: never; less: at once), with Elapsed; or when ctx ends,
// with its error. There may be up to three wakes.
func Wait(ctx context.Context, c clock.Clock, d time.Duration, wakes ...<-chan struct{}) (int, error) {
	if r := runtimeOf(ctx); r != nil {
		if n := r.Wait(ctx, d, wakes); n != Elapsed {
			return n, nil
		}
		return Elapsed, ctx.Err()
	}
	var fire <-chan time.Time
	if d != 0 {
		timer := c.NewTimer(d)
		defer timer.Stop()
		fire = timer.C()
	}
	var three [3]<-chan struct{}
	if copy(three[:], wakes) < len(wakes) {
		panic("loop.Wait: too many channels")
	}
	select {
	case <-ctx.Done():
		return Elapsed, ctx.Err()
	case <-fire:
		return Elapsed, nil
	case <-three[0]:
		return 0, nil
	case <-three[1]:
		return 1, nil
	case <-three[2]:
		return 2, nil
	}
}

// Await is Wait without a limit of time.
func Await(ctx context.Context, wakes ...<-chan struct{}) (int, error) {
	return Wait(ctx, nil, 0, wakes...)
}

// Until is Wait with the moment at which time is over; zero: never.
func Until(ctx context.Context, c clock.Clock, at time.Time, wakes ...<-chan struct{}) (int, error) {
	var d time.Duration
	if !at.IsZero() {
		d = at.Sub(c.Now())
		if d == 0 {
			d = -1
		}
	}
	return Wait(ctx, c, d, wakes...)
}

// Sleep waits for d, or until ctx ends.
func Sleep(ctx context.Context, c clock.Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	_, err := Wait(ctx, c, d)
	return err
}

// WithTimeout is context.WithTimeout, in the time of ctx's Runtime if it has one.
func WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if r := runtimeOf(ctx); r != nil {
		return r.WithTimeout(ctx, d)
	}
	return context.WithTimeout(ctx, d)
}
