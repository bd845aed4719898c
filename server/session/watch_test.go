package session

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// A job comes with the first message about an allocation that is new to the
// node, once, and not with what the node may know from before.
func TestAJobComesWithWhatIsNew(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	web := r.job("web", "/bin/one")
	old := r.place(web, a.node.ID, 1)
	me := link.Caller{NodeID: a.node.ID, SecretID: a.node.SecretID}
	ctx, cancel := context.WithTimeout(me.Outgoing(t.Context()), 20*time.Second)
	defer cancel()
	stream, err := linkpb.NewNodeLinkClient(r.dial(t, 0, certs.RoleClient)).WatchAllocs(ctx, &linkpb.WatchAllocsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	// next receives a message that is to tell of allocations, and says how many
	// jobs come with it.
	next := func(what string, allocs ...string) (jobs int) {
		t.Helper()
		msg, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range msg.GetUpserts() {
			alloc := new(structs.Allocation)
			if err := link.UnpackNoun(u.GetAlloc(), alloc); err != nil {
				t.Fatal(err)
			}
			got = append(got, alloc.ID)
			if len(u.GetSpec()) == 0 {
				continue
			}
			jobs++
			job := new(structs.Job)
			if err := link.UnpackNoun(u.GetSpec(), job); err != nil || job.GetID() != u.GetJob().GetId() || job.GetVersion() != u.GetJob().GetVersion() {
				t.Errorf("%s: the job reads %s, %v", what, job.GetID(), err)
			}
		}
		if len(got) != len(allocs) {
			t.Errorf("%s: it tells of %v, not %v", what, got, allocs)
		}
		return jobs
	}
	if n := next("all there is", old...); n != 0 {
		t.Errorf("all there is: %d jobs came", n)
	}
	if n := next("three that are new", r.place(web, a.node.ID, 3)...); n != 1 {
		t.Errorf("three of one job: %d jobs came", n)
	}
	r.stopAllocs(web, old[0])
	if n := next("one that changed", old[0]); n != 0 {
		t.Errorf("one that changed: %d jobs came", n)
	}
	if n := next("one of a large job", r.place(r.job("large", strings.Repeat("x", specRoom)), a.node.ID, 1)...); n != 0 {
		t.Errorf("one of a large job: %d jobs came", n)
	}
}

// What comes close together goes in few messages, and a job that is too large
// to come along is fetched.
func TestANodeHearsOfManyAtOnce(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	a.follow(t, 0)
	testx.Eventually(t, 5*time.Second, "the first set", func() bool { n, _, _ := a.setCount(); return n == 1 })
	var all []string
	for range 50 {
		all = append(all, r.place(r.job("web", "/bin/one"), a.node.ID, 1)...)
	}
	large := r.place(r.job("large", strings.Repeat("x", specRoom)), a.node.ID, 1)[0]
	all = append(all, large)
	testx.Eventually(t, 10*time.Second, "all of them", func() bool { return a.has(all...) })
	if n, _, _ := a.setCount(); n > 25 {
		t.Errorf("%d messages for %d allocations", n, len(all))
	}
	if job := a.alloc(large).Job; len(job.TaskGroups[0].Tasks[0].Config["command"].(string)) != specRoom {
		t.Errorf("the large job is not whole: %d bytes", len(job.TaskGroups[0].Tasks[0].Config["command"].(string)))
	}
}

// However fast changes come, a node hears at most once in a while; of one that
// comes later than that it hears at once.
func TestMessagesKeepTheirDistance(t *testing.T) {
	for _, c := range []struct{ comes, told time.Duration }{{0, watchGap}, {watchGap / 2, watchGap}, {4 * watchGap, 4 * watchGap}} {
		synctest.Test(t, func(t *testing.T) {
			s, w := &Changes{clock: clock.Real{}}, &watcher{wake: make(chan struct{}, 1)}
			begun := time.Now()
			time.AfterFunc(c.comes, w.poke)
			if err := s.await(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			if told := time.Since(begun); told != c.told {
				t.Errorf("what comes after %s is told after %s, want %s", c.comes, told, c.told)
			}
		})
	}
}

// A server that has lost changes, here because its state was replaced, sends
// its nodes all there is.
func TestLostChangesAreToldAllTheSame(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	web := r.job("web", "/bin/one")
	before := r.place(web, a.node.ID, 2)
	a.follow(t, 0)
	testx.Eventually(t, 10*time.Second, "what there is", func() bool { return a.has(before...) })

	var data bytes.Buffer
	copyTo := func(from, to *state.Store) {
		t.Helper()
		data.Reset()
		if err := from.Persist(&data); err != nil {
			t.Fatal(err)
		}
		if err := to.Restore(&data); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := &region{t: t, index: r.index + 100, servers: []*box{{store: state.New(state.Options{})}}}
	copyTo(r.servers[0].store, elsewhere.servers[0].store)
	missed := elsewhere.place(web, a.node.ID, 2)
	copyTo(elsewhere.servers[0].store, r.servers[0].store)

	testx.Eventually(t, 10*time.Second, "what was missed", func() bool { return a.has(append(missed, before...)...) })
	if _, full, _ := a.setCount(); full != 2 {
		t.Errorf("%d full sets, want the first one and one more", full)
	}
}

// A server that has just started knows less than the node: were it to tell what
// there is, the node would end what runs.
func TestAServerThatIsBehindTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := state.New(state.Options{})
		store.Skip(7)
		changes := NewChanges(store, clock.Real{})
		told := 0
		err := changes.Watch(t.Context(), Seen{NodeID: "n", Registered: 8}, func(*Delta) error { told++; return nil })
		if !errors.Is(err, errBehind) || told > 0 {
			t.Fatalf("told %d times, then %v", told, err)
		}
		store.Skip(8)
		enough := errors.New("enough")
		err = changes.Watch(t.Context(), Seen{NodeID: "n", Registered: 8}, func(d *Delta) error {
			told++
			if !d.Full || d.Index != 8 {
				t.Errorf("told %+v", d)
			}
			return enough
		})
		if !errors.Is(err, enough) || told != 1 {
			t.Fatalf("told %d times, then %v", told, err)
		}
	})
}
