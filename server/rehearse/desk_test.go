package rehearse

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
)

// countingIndex notes what is asked of it.
type countingIndex struct {
	store           *state.Store
	advanced, drops int
	fail            error
}

func (c *countingIndex) Advance(context.Context) (*state.Snapshot, error) {
	c.advanced++
	return c.store.Snapshot(), c.fail
}
func (c *countingIndex) Capacity() *scheduler.Capacity { return scheduler.NewCapacity() }
func (c *countingIndex) Drop()                         { c.drops++ }

func TestADeskLendsItsIndexToOneAtATime(t *testing.T) {
	index := &countingIndex{store: state.New(state.Options{})}
	d := NewDesk(index, clock.Real{})
	group := loop.New(t.Context())
	inside, most := 0, 0
	for range 20 {
		group.Go("use", func(ctx context.Context) error {
			return d.Use(ctx, func(on Seat) error {
				inside++
				most = max(most, inside)
				defer func() { inside-- }()
				if on.Snap == nil || on.Capacity == nil {
					return errors.New("the seat is empty")
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if most != 1 || index.advanced != 20 {
		t.Errorf("%d at a time; advanced %d times for 20", most, index.advanced)
	}
}

func TestWhoWaitsForADeskIsBoundByItsContext(t *testing.T) {
	d := NewDesk(&countingIndex{store: state.New(state.Options{})}, clock.Real{})
	err := d.Use(t.Context(), func(Seat) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return d.Use(ctx, func(Seat) error { return nil })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAnIndexThatCantFollowIsMadeAnew(t *testing.T) {
	index := &countingIndex{store: state.New(state.Options{}), fail: errors.New("broken")}
	d := NewDesk(index, clock.Real{})
	if err := d.Use(t.Context(), func(Seat) error { return nil }); !errors.Is(err, index.fail) || index.drops != 1 {
		t.Errorf("%v, dropped %d times", err, index.drops)
	}
}

func TestADeskFollowsTheStateUnasked(t *testing.T) {
	index := &countingIndex{store: state.New(state.Options{})}
	now := clock.NewManual(time.Unix(5, 0))
	d := NewDesk(index, now)
	group := loop.New(t.Context())
	group.Go("desk", d.Run)
	followed := func() (yes bool) {
		now.Advance(step)
		<-d.turn
		yes = index.advanced > 2
		d.leave()
		return yes
	}
	testx.Eventually(t, 5*time.Second, "the index follows", followed)
	group.Stop()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
