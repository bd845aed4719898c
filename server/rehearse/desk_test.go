package rehearse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
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

// heldIndex is one index that is kept; seen may look each time it is lent.
type heldIndex struct {
	store    *state.Store
	capacity *scheduler.Capacity
	seen     func()
}

func (h *heldIndex) Advance(context.Context) (*state.Snapshot, error) {
	h.seen()
	return h.store.Snapshot(), nil
}
func (h *heldIndex) Capacity() *scheduler.Capacity { return h.capacity }
func (h *heldIndex) Drop()                         {}

// slow is a job whose conditions take several slices to judge.
func slow() *structs.Job {
	id, group := "slow", "g"
	job := &structs.Job{ID: &id, TaskGroups: []*structs.TaskGroup{{Name: &group, Tasks: []*structs.Task{{Name: "t", Driver: "mock"}}}}}
	for p := range structs.MaxPatterns {
		job.Constraints = append(job.Constraints, &structs.Constraint{
			LTarget: "${meta.text}", Operand: structs.OpRegexp, RTarget: fmt.Sprintf("(.?){15}%d$", p),
		})
	}
	job.Canonicalize()
	return job
}

func TestADeskIsLeftWhileAJobIsPrepared(t *testing.T) {
	index := &heldIndex{store: state.New(state.Options{}), capacity: scheduler.NewCapacity()}
	for i := range 4 {
		index.capacity.UpsertNode(&structs.Node{ID: fmt.Sprint(i), Meta: map[string]string{"text": strings.Repeat("a", 40+i)}})
	}
	d := NewDesk(index, clock.Real{})
	turns := 0
	index.seen = func() { turns++ }
	job := slow()
	err := d.UseFor(t.Context(), job, func(on Seat) error {
		if !scheduler.Prepare(on.Capacity, job) {
			t.Error("the job isn't prepared")
		}
		return nil
	})
	if err != nil || turns < 3 {
		t.Errorf("the index was lent %d times, for several slices (%v)", turns, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	index.capacity, turns = scheduler.NewCapacity(), 0
	index.capacity.UpsertNode(&structs.Node{ID: "0", Meta: map[string]string{"text": strings.Repeat("a", 4000)}})
	index.seen = func() {
		if turns++; turns == 2 {
			cancel()
		}
	}
	err = d.UseFor(ctx, job, func(Seat) error {
		t.Error("used after its context had ended")
		return nil
	})
	if !errors.Is(err, context.Canceled) || turns != 2 {
		t.Errorf("after %d turns: %v", turns, err)
	}
}
