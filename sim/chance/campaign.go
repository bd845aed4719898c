package chance

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/sim/story"
)

// Tally is what playing many stories came to. Its JSON is kept in files; sums of
// tallies are tallies.
type Tally struct {
	// Stories were played, Entries written to their logs, Turns taken.
	Stories, Entries, Turns uint64
	// Lived is how long the clusters' clocks went on.
	Lived time.Duration
	// Faults counts by kind what was done to the clusters; Features the stories in
	// which each feature was used.
	Faults, Features map[string]uint64
	// Both counts the stories with a feature and a fault, by feature, then fault.
	Both map[string]map[string]uint64
	// Failures are the stories in which something was wrong, by seed.
	Failures []Failure
}

// Failure is a story in which something was wrong.
type Failure struct {
	Seed uint64
	What string
}

// String tells what was wrong and how to see it again.
func (f Failure) String() string {
	return fmt.Sprintf("seed %d: %s\n  replay: steppe sim random -seed %d", f.Seed, f.What, f.Seed)
}

// Play plays the stories of n seeds from a first one, as many at once as there
// are processors. done is told how many were played; it may be nil. An error
// says that they could not be played at all, or that ctx ended.
func Play(ctx context.Context, from, n uint64, done func(played uint64)) (*Tally, error) {
	c := &campaign{next: from, end: from + n, sum: newTally(), done: done}
	group := loop.New(ctx)
	for i := range runtime.GOMAXPROCS(0) {
		group.Go(fmt.Sprint("stories ", i), c.work)
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(c.sum.Failures, func(a, b Failure) int { return int(a.Seed) - int(b.Seed) })
	return c.sum, ctx.Err()
}

// campaign is a range of seeds under way.
type campaign struct {
	done func(uint64)

	mu        sync.Mutex
	next, end uint64
	sum       *Tally
}

func (c *campaign) work(ctx context.Context) error {
	for ctx.Err() == nil {
		c.mu.Lock()
		seed := c.next
		c.next = min(c.next+1, c.end)
		c.mu.Unlock()
		if seed >= c.end {
			return nil
		}
		s, err := Story(seed)
		if err != nil {
			return fmt.Errorf("make up story %d: %w", seed, err)
		}
		result, err := story.Run(s, options)
		if err != nil {
			return fmt.Errorf("play story %d: %w", seed, err)
		}
		c.mu.Lock()
		c.sum.add(seed, result)
		if c.done != nil {
			c.done(c.sum.Stories)
		}
		c.mu.Unlock()
	}
	return nil
}

func newTally() *Tally {
	return &Tally{Faults: map[string]uint64{}, Features: map[string]uint64{}, Both: map[string]map[string]uint64{}}
}

// add takes one story in.
func (t *Tally) add(seed uint64, r *story.Result) {
	one := newTally()
	one.Stories, one.Entries, one.Turns, one.Lived = 1, r.Entries, uint64(r.Steps), r.Took
	for fault, n := range r.Faults {
		one.Faults[fault] = uint64(n)
	}
	for feature := range r.Features {
		one.Features[feature] = 1
		one.Both[feature] = map[string]uint64{}
		for fault, n := range r.Faults {
			if n > 0 {
				one.Both[feature][fault] = 1
			}
		}
	}
	if r.Broken() {
		one.Failures = []Failure{{seed, r.String()}}
	}
	t.Add(one)
}

// Add takes another tally in.
func (t *Tally) Add(o *Tally) {
	t.Stories += o.Stories
	t.Entries += o.Entries
	t.Turns += o.Turns
	t.Lived += o.Lived
	sum(t.Faults, o.Faults)
	sum(t.Features, o.Features)
	for feature, faults := range o.Both {
		if t.Both[feature] == nil {
			t.Both[feature] = map[string]uint64{}
		}
		sum(t.Both[feature], faults)
	}
	t.Failures = append(t.Failures, o.Failures...)
}

func sum(into, from map[string]uint64) {
	for key, n := range from {
		into[key] += n
	}
}
