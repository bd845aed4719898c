package history

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Unix(1_700_000_000, 0)

// world is a history in a folder, fed by hand.
type world struct {
	t     testing.TB
	dir   string
	clock *clock.Manual
	cfg   Config
	h     *History
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, dir: t.TempDir(), clock: clock.NewManual(start)}
	w.cfg = Config{Dir: w.dir, Clock: w.clock}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.h, err = Open(w.cfg); err != nil {
		w.t.Fatal(err)
	}
}

// flush writes all that waits.
func (w *world) flush() {
	w.t.Helper()
	for more := true; more; {
		var err error
		if more, err = w.h.flush(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.h.retire()
}

// crash forgets what is in memory.
func (w *world) crash() {
	w.h.close()
	w.open()
}

// running has a writer while f runs.
func (w *world) running(f func()) {
	w.t.Helper()
	g := loop.New(context.Background())
	g.Go("history", w.h.Run)
	f()
	g.Stop()
	if err := g.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

// sync does what Sync waits for.
func (w *world) sync(index uint64) {
	w.t.Helper()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.h.Sync(over, index); err == nil {
		return
	}
	w.flush()
	if err := w.h.Sync(over, index); err != nil {
		w.t.Fatal(err)
	}
}

func evalID(index uint64, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", index, n) }

// evals is an entry that removes so many evaluations.
func (w *world) evals(index uint64, n int) *feed.Change {
	c := &feed.Change{Index: index, Time: w.clock.Now().UnixNano()}
	for i := range n {
		c.Events = append(c.Events, feed.Of(feed.EvalRemoved, &structs.Evaluation{
			ID: evalID(index, i), Namespace: "default", JobID: fmt.Sprint("job", index%7), Type: "service", Status: "complete",
		}, nil))
	}
	return c
}

func (w *world) apply(changes ...*feed.Change) { w.h.Applied(changes) }

// find returns everything that a query finds, over all its pages.
func (w *world) find(q Query) (out []*structs.HistoryEntry) {
	w.t.Helper()
	for pages := 0; ; pages++ {
		p, err := w.h.Find(context.Background(), q)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, p.Entries...)
		if p.Next.zero() {
			return out
		}
		if pages > 10_000 {
			w.t.Fatal("pages without end")
		}
		q.Before = p.Next
	}
}

func (w *world) gaps() []Range {
	w.t.Helper()
	p, err := w.h.Find(context.Background(), Query{Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Gaps
}

// ids are the positions of entries as text.
func ids(entries []*structs.HistoryEntry) (out []string) {
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%d.%d", e.Index, e.Seq))
	}
	return out
}

// pack makes a frame by hand.
func (w *world) pack(head frameHead) ([]byte, *frameHead, error) {
	p, err := newPacker()
	if err != nil {
		return nil, nil, err
	}
	return p.frame(head, nil)
}
