package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/link/linkpb"
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
