package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

func TestWhatLeavesIsFoundBeforeAndAfterItIsOnDisk(t *testing.T) {
	w := newWorld(t)
	w.apply(w.evals(5, 3), w.evals(9, 1))
	want := []string{"9.0", "5.2", "5.1", "5.0"}
	check := func(when string) {
		t.Helper()
		if got := ids(w.find(Query{Limit: 2})); !slices.Equal(got, want) {
			t.Errorf("%s: %v", when, got)
		}
	}
	check("in memory")
	w.flush()
	check("on disk")
	w.crash()
	check("opened again")
	if n := len(w.gaps()); n != 0 {
		t.Errorf("%d gaps", n)
	}
}

func TestAReplayedLogWritesNothingTwice(t *testing.T) {
	w := newWorld(t)
	w.apply(w.evals(5, 3))
	w.flush()
	w.apply(w.evals(9, 600)) // more than a frame
	w.flush()
	w.crash()
	w.apply(w.evals(5, 3), w.evals(9, 600), w.evals(10, 1))
	w.flush()
	if got := w.find(Query{Limit: 1000}); len(got) != 604 {
		t.Errorf("%d entries for 604", len(got))
	}
}

// TestAnEntryOfSeveralFramesIsWrittenOnce loses the last frame of an entry in a
// crash: the log brings the entry again.
func TestAnEntryOfSeveralFramesIsWrittenOnce(t *testing.T) {
	const n = 2*frameRecords + 10
	w := newWorld(t)
	w.apply(w.evals(5, 3), w.evals(9, n))
	w.flush()
	w.h.close()
	path, whole := oneSegment(t, w.dir)
	if err := os.WriteFile(path, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	if got := len(w.find(Query{Limit: 1000})); got != 2*frameRecords {
		t.Errorf("%d entries after the crash", got)
	}
	w.apply(w.evals(5, 3), w.evals(9, n))
	w.flush()
	if got := len(w.find(Query{Limit: 1000})); got != 3+n || len(w.gaps()) != 0 {
		t.Errorf("%d entries for %d, gaps %v", got, 3+n, w.gaps())
	}
	if got := w.h.Counts().Records; got != 3+n {
		t.Errorf("%d records on disk for %d", got, 3+n)
	}
}

func TestObjectsComeBackAsTheyWere(t *testing.T) {
	w := newWorld(t)
	id, ns, kind, version := "web", "default", "service", uint64(3)
	job := &structs.Job{ID: &id, Namespace: &ns, Type: &kind, Version: &version, Meta: map[string]string{"a": "b"}}
	job.Canonicalize()
	older, v2 := *job, uint64(2)
	older.Version = &v2
	eval := &structs.Evaluation{ID: evalID(1, 1), Namespace: ns, JobID: id, Status: "failed", StatusDescription: "because",
		FailedTGAllocs: map[string]*structs.AllocationMetric{"g": {CoalescedFailures: 4}}}
	alloc := &structs.Allocation{ID: evalID(2, 2), Namespace: ns, JobID: id, Job: job, Name: "web.g[0]", ClientStatus: "failed",
		TaskStates: map[string]*structs.TaskState{"t": {State: "dead", Failed: true, FinishedAt: start.UTC(), Events: []*structs.TaskEvent{{Type: "Terminated", Time: 7}}}}}
	deployment := &structs.Deployment{ID: evalID(3, 3), Namespace: ns, JobID: id, Status: "successful", JobVersion: 3}
	w.apply(&feed.Change{Index: 7, Time: start.UnixNano(), Events: []feed.Event{
		feed.Of(feed.AllocRemoved, alloc, nil), feed.Of(feed.EvalRemoved, eval, nil), feed.Of(feed.DeploymentRemoved, deployment, nil),
		feed.Of(feed.JobVersionRemoved, &older, nil), feed.Of(feed.JobVersionRemoved, job, nil), feed.Of(feed.JobDeregistered, job, nil),
		feed.Of(feed.EvalUpdated, nil, eval),
	}})
	w.flush()
	w.crash()
	got := w.find(Query{Objects: true})
	if len(got) != 5 {
		t.Fatalf("%v", ids(got))
	}
	for i, want := range []struct {
		object, got any
		gone        bool
		status      string
	}{
		{job, got[0].Job, true, "pending"}, {&older, got[1].Job, false, "pending"}, {deployment, got[2].Deployment, false, "successful"},
		{eval, got[3].Evaluation, false, "failed"}, {alloc, got[4].Allocation, false, "failed"},
	} {
		if !reflect.DeepEqual(want.object, want.got) {
			t.Errorf("%d: %+v, want %+v", i, want.got, want.object)
		}
		if e := got[i]; e.Gone != want.gone || e.JobID != id || e.RemovedAt != start.UnixNano() || e.Index != 7 {
			t.Errorf("%d: %+v", i, e)
		}
	}
	for _, e := range w.find(Query{}) {
		if e.Job != nil || e.Evaluation != nil || e.Allocation != nil || e.Deployment != nil {
			t.Error("an object that nobody asked for")
		}
	}
}

func TestQueriesFilter(t *testing.T) {
	w := newWorld(t)
	for i := range uint64(40) {
		c := w.evals(i+1, 2)
		other := &structs.Deployment{ID: evalID(i+1, 99), Namespace: "other", JobID: "x", Status: "failed"}
		c.Events = append(c.Events, feed.Of(feed.DeploymentRemoved, other, nil))
		w.apply(c)
		if i%9 == 0 {
			w.flush()
		}
		w.clock.Advance(time.Minute)
	}
	for _, test := range []struct {
		name string
		q    Query
		want int
	}{
		{"all", Query{}, 120},
		{"all namespaces", Query{Namespace: "*"}, 120},
		{"a namespace", Query{Namespace: "other"}, 40},
		{"a kind", Query{Kind: structs.HistoryEvaluation}, 80},
		{"a job", Query{JobID: "job3"}, 12},
		{"a job of another namespace", Query{JobID: "job3", Namespace: "other"}, 0},
		{"an id", Query{Prefix: evalID(7, 1)}, 1},
		{"the beginning of ids", Query{Prefix: "00000007"}, 3},
		{"a short beginning", Query{Prefix: "0000000"}, 45},
		{"upper case", Query{Prefix: strings.ToUpper(evalID(12, 1))}, 1},
		{"since", Query{Since: start.Add(35 * time.Minute)}, 15},
		{"until", Query{Until: start.Add(4 * time.Minute)}, 15},
		{"between positions", Query{After: Position{10, 0}, Before: Position{12, 1}}, 2 + 3 + 1 - 0},
		{"nothing", Query{JobID: "none"}, 0},
	} {
		for _, limit := range []int{1, 7, 1000} {
			test.q.Limit = limit
			if got := w.find(test.q); len(got) != test.want {
				t.Errorf("%s, %d at a time: %d, want %d", test.name, limit, len(got), test.want)
			}
		}
	}
}

func TestAFullQueueDropsAndTells(t *testing.T) {
	w := newWorld(t)
	w.h.cfg.Queue = 10
	w.apply(w.evals(1, 8), w.evals(2, 8), w.evals(3, 1))
	w.flush()
	w.apply(w.evals(4, 2))
	w.flush()
	got := ids(w.find(Query{Limit: 1000}))
	if len(got) != 12 || got[0] != "4.1" || got[2] != "2.1" {
		t.Errorf("%v", got)
	}
	want := []Range{{Position{2, 1}, Position{3, 0}}}
	if got := w.gaps(); !reflect.DeepEqual(got, want) {
		t.Errorf("gaps %v, want %v", got, want)
	}
	w.crash()
	if got := w.gaps(); len(got) != 1 || got[0].After != want[0].After || got[0].UpTo.before(want[0].UpTo) {
		t.Errorf("after a crash: gaps %v, want %v", got, want)
	}
	if w.h.Counts().Gaps != 1 {
		t.Errorf("%+v", w.h.Counts())
	}
}

func TestASnapshotOfTheStateLeavesAGap(t *testing.T) {
	w := newWorld(t)
	w.h.Restored(0) // a new cluster
	w.apply(w.evals(5, 1))
	w.flush()
	w.h.Restored(3) // from its own disk: all that is known
	if n := len(w.gaps()); n != 0 {
		t.Fatalf("%d gaps", n)
	}
	w.h.Restored(20)
	w.apply(w.evals(21, 1))
	for _, when := range []string{"in memory", "on disk", "opened again"} {
		if got := w.gaps(); len(got) != 1 || got[0].UpTo != after(20) || got[0].After.Index != 5 {
			t.Errorf("%s: gaps %v", when, got)
		}
		w.flush()
		if when == "on disk" {
			w.crash()
		}
	}
}

func TestSyncIsOnDisk(t *testing.T) {
	w := newWorld(t)
	w.running(func() {
		w.apply(w.evals(5, 700))
		if err := w.h.Sync(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		if c := w.h.Counts(); c.Waiting != 0 || c.Written != 700 {
			t.Errorf("%+v", c)
		}
	})
	w.open()
	w.h.Restored(8)
	if n := len(w.gaps()); n != 0 {
		t.Error("what was synced leaves a gap")
	}
	w.h.close()
}

func TestSyncEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	w.apply(w.evals(1, 1))
	for range 2 { // it isn't on disk because it was asked for before
		if err := w.h.Sync(ctx, 1); !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
	}
	w.flush()
	if err := w.h.Sync(ctx, 1); err != nil {
		t.Errorf("it is on disk: %v", err)
	}
}

func TestTheWriterRestsAndWrites(t *testing.T) {
	w := newWorld(t)
	w.running(func() {
		w.apply(w.evals(5, 1))
		testx.Eventually(t, 10*time.Second, "a single record gets to the disk after a while", func() bool {
			w.clock.Advance(flushAfter / 4)
			return w.h.Counts().Written == 1
		})
		w.apply(w.evals(6, 2*frameRecords))
		testx.Eventually(t, 10*time.Second, "many get there at once", func() bool { return w.h.Counts().Written > frameRecords })
	})
}

func TestRoomWaitsForTheDisk(t *testing.T) {
	w := newWorld(t)
	w.h.cfg.Queue = 100
	w.apply(w.evals(5, 80))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := w.h.Room(ctx); err == nil {
		t.Error("room in a queue that is nearly full")
	}
	w.flush()
	if err := w.h.Room(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOldAndManySegmentsGo(t *testing.T) {
	w := newWorld(t)
	w.h.close()
	w.cfg.MaxBytes = 1 // as little as can be: one segment
	w.open()
	big := strings.Repeat("0123456789abcdef", 1<<12)
	for i := range uint64(60) {
		c := &feed.Change{Index: i + 1, Time: w.clock.Now().UnixNano()}
		for n := range 8 {
			noise := fmt.Sprint(i, n, big[:len(big)-int(i)])
			c.Events = append(c.Events, feed.Of(feed.EvalRemoved, &structs.Evaluation{ID: evalID(i, n), StatusDescription: scramble(noise, int(i)*8+n)}, nil))
		}
		w.apply(c)
		w.flush()
	}
	files, err := os.ReadDir(w.dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%d files (%v)", len(files), err)
	}
	got := w.find(Query{Limit: 1000})
	if len(got) == 0 || len(got) > 60 || got[0].Index != 60 {
		t.Errorf("%d entries are left", len(got))
	}
	if c := w.h.Counts(); c.Bytes > 2*minSegment || c.Segments != 1 || int(c.Records) != len(got) {
		t.Errorf("%+v", c)
	}
	w.clock.Advance(DefaultMaxAge + time.Second)
	if n := len(w.find(Query{})); n != 0 {
		t.Errorf("%d entries that are too old", n)
	}
	w.apply(w.evals(100, 1))
	w.flush()
	if n := len(w.find(Query{})); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// TestFourteenDaysAreKept writes once a day, each day into a file of its own.
func TestFourteenDaysAreKept(t *testing.T) {
	w := newWorld(t)
	for day := range uint64(40) {
		w.apply(w.evals(day+1, 1))
		w.clock.Advance(time.Hour)
		w.flush()
		if got, want := len(w.find(Query{})), min(int(day)+1, 14); got != want {
			t.Fatalf("on day %d the history has %d days, want %d", day, got, want)
		}
		files, err := os.ReadDir(w.dir)
		if err != nil || len(files) > 14 {
			t.Fatalf("on day %d there are %d files (%v)", day, len(files), err)
		}
		if err := w.h.file.Close(); err != nil {
			t.Fatal(err)
		}
		w.h.file = nil // the next frame begins a new segment
		w.clock.Advance(23 * time.Hour)
	}
}

// TestTheDiskIsBounded writes several times as much as a history may take.
func TestTheDiskIsBounded(t *testing.T) {
	const most = 4 << 20
	w := newWorld(t)
	w.h.close()
	w.cfg.MaxBytes = most
	w.open()
	noise := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	for i := range uint64(40) {
		w.apply(&feed.Change{Index: i + 1, Time: w.clock.Now().UnixNano(), Events: []feed.Event{
			feed.Of(feed.EvalRemoved, &structs.Evaluation{ID: evalID(i, 0), StatusDescription: scramble(noise, int(i))}, nil),
		}})
		w.flush()
		files, err := filepath.Glob(filepath.Join(w.dir, "*"+segmentSuffix))
		if err != nil {
			t.Fatal(err)
		}
		var bytes int64
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			bytes += info.Size()
		}
		if bytes > most || i > 20 && bytes < most/2 || w.h.Counts().Bytes != bytes {
			t.Fatalf("after %d writes the history takes %d bytes of %d, and says %d", i+1, bytes, most, w.h.Counts().Bytes)
		}
	}
	if got := w.find(Query{}); len(got) < 8 || got[0].Index != 40 {
		t.Errorf("%v", ids(got))
	}
}

// scramble makes text that doesn't compress, always the same.
func scramble(s string, seed int) string {
	out, x := []byte(s), uint32(seed*2654435761+1)
	for i := range out {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		out[i] = 33 + byte(x%90)
	}
	return string(out)
}

func TestAHistoryOfAnotherLogIsSetAside(t *testing.T) {
	w := newWorld(t)
	w.apply(w.evals(50, 1))
	w.flush()
	if err := w.h.Adopt(50, func() uint64 { return 7 }); err != nil || len(w.find(Query{})) != 1 {
		t.Fatalf("its own log: %v", err)
	}
	if err := w.h.Adopt(10, func() uint64 { return 7 }); err != nil {
		t.Fatal(err)
	}
	w.apply(w.evals(8, 2))
	w.flush()
	w.crash()
	if got := ids(w.find(Query{})); !slices.Equal(got, []string{"8.1", "8.0"}) {
		t.Errorf("%v", got)
	}
	if got := w.gaps(); len(got) != 1 || got[0].UpTo != after(7) {
		t.Errorf("gaps %v", got)
	}
}

func TestAFullDiskLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.apply(w.evals(1, 1))
	w.flush()
	w.apply(w.evals(2, 2))
	if err := w.h.file.Close(); err != nil { // as good as a disk that fails
		t.Fatal(err)
	}
	if _, err := w.h.flush(); err == nil {
		t.Fatal("written into a closed file")
	}
	w.flush()
	w.crash()
	if got := ids(w.find(Query{})); !slices.Equal(got, []string{"2.1", "2.0", "1.0"}) {
		t.Errorf("%v", got)
	}
}
