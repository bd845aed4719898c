package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
)

// writer registers one job after another through one server, again and again
// until it is told that the job is there.
type writer struct {
	name string
	from *agent

	mu    sync.Mutex
	acked map[string]uint64 // the index of each acknowledged job
	at    []time.Time       // when
	wrong []string
}

// pace is how long a writer rests after each answer.
const pace = 10 * time.Millisecond

func (w *writer) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		w.register(ctx, fmt.Sprintf("%s-%d", w.name, n))
	}
}

// register asks for a job that isn't there yet. Once an answer was lost it may be.
func (w *writer) register(ctx context.Context, id string) {
	lost := false
	for ctx.Err() == nil {
		answer, _, err := w.from.client().Jobs().RegisterOpts(sleepJob(id, 0), &api.RegisterOptions{EnforceIndex: true}, nil)
		exists := err != nil && strings.Contains(err.Error(), "job already exists")
		switch {
		case err == nil:
			w.note(id, answer.JobModifyIndex)
			return
		case exists && lost:
			w.note(id, 0)
			return
		case exists:
			w.mu.Lock()
			w.wrong = append(w.wrong, id+" was there before it was asked for")
			w.mu.Unlock()
			return
		}
		lost = true
		rest(ctx)
	}
}

func (w *writer) note(id string, index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[id] = index
	w.at = append(w.at, time.Now())
}

func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(pace):
	}
}

// gap is the longest time around a moment in which a writer got no answer.
func (w *writer) gap(at time.Time) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, _ := slices.BinarySearchFunc(w.at, at, time.Time.Compare)
	if i == 0 || i+3 > len(w.at) { // a few more, in case that one was under way
		return 0, false
	}
	longest := time.Duration(0)
	for j := i; j < len(w.at) && w.at[j-1].Before(at.Add(10*time.Second)); j++ {
		longest = max(longest, w.at[j].Sub(w.at[j-1]))
	}
	return longest, true
}

// Leaders are killed while each server takes registrations: nothing that was
// acknowledged is lost, nothing happens twice, and writes resume. STEPPE_KILLS=100
// takes as many leaders; how long writes paused is printed.
func TestNothingIsLostWithKilledLeaders(t *testing.T) {
	kills := 2
	if n, err := strconv.Atoi(os.Getenv("STEPPE_KILLS")); err == nil {
		kills = n
	}
	agents := newCluster(t, false)
	var gaps []time.Duration
	for round := range kills {
		gaps = append(gaps, killLeader(t, agents, round)...)
	}
	slices.Sort(gaps)
	t.Logf("writes paused for p50 %s, p99 %s, at most %s after %d kills",
		gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)*99/100].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond), kills)
}

// killLeader kills the leader under load and returns for how long the writers
// of the others got no answer.
func killLeader(t *testing.T, agents []*agent, round int) []time.Duration {
	leader, others := leaderOf(t, agents)
	ctx, cancel := context.WithCancel(t.Context())
	var writers []*writer
	var group sync.WaitGroup
	for i, a := range agents {
		w := &writer{name: fmt.Sprintf("r%d-w%d", round, i), from: a, acked: map[string]uint64{}}
		writers = append(writers, w)
		group.Go(func() { w.run(ctx) })
	}
	defer group.Wait()
	defer cancel()
	testx.Eventually(t, 20*time.Second, "every writer is at work", func() bool {
		return !slices.ContainsFunc(writers, func(w *writer) bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.at) < 5 })
	})
	leader.kill()
	at := time.Now()
	var gaps []time.Duration
	for _, w := range writers {
		if !slices.Contains(others, w.from) {
			continue
		}
		testx.Eventually(t, 20*time.Second, "writes resume", func() bool {
			gap, ok := w.gap(at)
			if ok {
				gaps = append(gaps, gap)
			}
			return ok
		})
	}
	leader.start()
	leader.awaitLeader()
	cancel()
	group.Wait()
	assertKept(t, agents, writers)
	return gaps
}

// assertKept looks for every acknowledged job on every server, at the index that
// was told or a later one.
func assertKept(t *testing.T, agents []*agent, writers []*writer) {
	t.Helper()
	for _, a := range agents {
		testx.Eventually(t, 30*time.Second, a.name+" has all that was acknowledged", func() bool {
			jobs, _, err := a.client().Jobs().List(&api.QueryOptions{AllowStale: true})
			if err != nil {
				return false
			}
			known := map[string]uint64{}
			for _, j := range jobs {
				known[j.ID] = j.JobModifyIndex
			}
			for _, w := range writers {
				for id, index := range w.acked {
					if at, ok := known[id]; !ok || at < index {
						return false
					}
				}
			}
			return true
		})
	}
	for _, w := range writers {
		for _, what := range w.wrong {
			t.Error(what)
		}
		for id := range w.acked {
			if _, _, err := agents[0].client().Jobs().Deregister(id, true, nil); err != nil {
				t.Errorf("purge %s: %v", id, err)
			}
		}
	}
}
