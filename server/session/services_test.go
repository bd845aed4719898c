package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// names follows the registrations of a region as a node does.
type names struct {
	mu    sync.Mutex
	known map[string]string // by NAMESPACE/ID: the health
	index uint64
	sets  int
	full  int
}

func (n *names) take(set *link.ServiceSet) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sets++; set.Full {
		n.full++
		n.known = map[string]string{}
	}
	for _, r := range set.Upserts {
		n.known[r.Namespace+"/"+r.ID] = r.Health
	}
	for _, id := range set.Removed {
		delete(n.known, id)
	}
	n.index = set.Index
	return nil
}

func (n *names) are(want map[string]string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Equal(n.known, want)
}

// follow watches from where n is until the returned function is called.
func (n *names) follow(t *testing.T, a *agent) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	n.mu.Lock()
	from := n.index
	n.mu.Unlock()
	group.Go("watch", func(ctx context.Context) error { return a.WatchServices(ctx, from, n.take) })
	stop = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func TestRegistrationsAreFollowedAndResumed(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	put := func(health string, ids ...string) {
		var regs []*structs.ServiceRegistration
		for _, id := range ids {
			regs = append(regs, &structs.ServiceRegistration{ID: id, ServiceName: "web", Namespace: "default", NodeID: a.node.ID, Health: health})
		}
		if err := a.UpsertServices(t.Context(), regs); err != nil {
			t.Fatal(err)
		}
	}
	put("success", "a", "b")
	n := &names{}
	stop := n.follow(t, a)
	testx.Eventually(t, 5*time.Second, "both are known", func() bool {
		return n.are(map[string]string{"default/a": "success", "default/b": "success"})
	})
	put("failure", "a")
	r.must(&command.DeleteServices{Namespace: "default", IDs: []string{"b"}})
	testx.Eventually(t, 5*time.Second, "the changes are known", func() bool { return n.are(map[string]string{"default/a": "failure"}) })
	stop()
	n.mu.Lock()
	full := n.full
	n.mu.Unlock()
	put("success", "c")
	r.must(&command.DeleteServices{Namespace: "default", IDs: []string{"a"}})
	n.follow(t, a)
	testx.Eventually(t, 5*time.Second, "what was missed is known", func() bool { return n.are(map[string]string{"default/c": "success"}) })
	if n.full != full {
		t.Error("everything was sent again to one that missed two changes")
	}
}

func TestManyRegistrationsComeInSeveralMessages(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	var regs []*structs.ServiceRegistration
	want := map[string]string{}
	for i := range 2*servicesAtOnce + 7 {
		id := fmt.Sprint("s", i)
		regs = append(regs, &structs.ServiceRegistration{ID: id, ServiceName: "web", Namespace: "default", NodeID: a.node.ID})
		want["default/"+id] = ""
	}
	for part := range slices.Chunk(regs, 500) {
		if err := a.UpsertServices(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	n := &names{}
	n.follow(t, a)
	testx.Eventually(t, 10*time.Second, "all are known", func() bool { return n.are(want) })
}

func TestAnUnknownHealthIsRefused(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	err := a.UpsertServices(t.Context(), []*structs.ServiceRegistration{{ID: "x", ServiceName: "web", Namespace: "default", NodeID: a.node.ID, Health: "splendid"}})
	if err == nil {
		t.Error("it was taken")
	}
}
