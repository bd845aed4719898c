package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// WatchAllocs implements linkpb.NodeLinkServer. Any server answers it, from
// what it has applied itself.
func (n *nodeService) WatchAllocs(req *linkpb.WatchAllocsRequest, out grpc.ServerStreamingServer[linkpb.AllocChanges]) error {
	ctx := out.Context()
	err := n.s.changes.Watch(ctx, Seen{link.IncomingCaller(ctx).NodeID, req.GetFrom(), req.GetRegistered()}, func(d *Delta) error { return d.send(out) })
	switch {
	case errors.Is(err, errBehind):
		return status.Error(codes.Unavailable, err.Error())
	case err != nil && ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

// errBehind says that this server doesn't know yet what a node has seen.
var errBehind = errors.New("this server is behind what the node has seen")

// Seen says who asks for its allocations, and what it knows.
type Seen struct {
	NodeID string
	// From is the index of the last set that it received, 0 for none.
	From uint64
	// Registered is where it was registered, last of all: later than whatever it
	// still knows from before its agent was started. A server that has applied
	// less must not tell it what is gone.
	Registered uint64
}

// Watch sends what a node is to know of its allocations: first, if it has seen
// something, what came after, else everything; then each change. It returns
// when ctx ends or send fails.
func (f *Changes) Watch(ctx context.Context, seen Seen, send func(*Delta) error) error {
	w, from := f.watch(seen.NodeID), seen.From // before the snapshot: nothing falls between
	defer f.forget(w)
	snap, err := f.reached(ctx, max(from, seen.Registered))
	if err != nil {
		return err
	}
	v := &view{nodeID: w.nodeID, sent: map[string]uint64{}}
	removed, resumes := f.removedSince(w.nodeID, from)
	resumes = resumes && from > 0
	news := v.all(snap, from, resumes)
	if resumes {
		news.Removed = removed
	}
	for first := true; ; first = false {
		// The first is sent even if it is empty: the node is up to date.
		if first || !news.empty() {
			if err := send(&news); err != nil {
				return err
			}
		}
		if err := f.await(ctx, w); err != nil {
			return err
		}
		ids, resync := f.take(w)
		snap = f.store.Snapshot()
		if resync {
			news = v.all(snap, 0, false)
		} else {
			news = v.some(snap, ids)
		}
	}
}

// watchGap is the least time between two messages to a node: what comes
// meanwhile goes together into the next. A node on which much is started costs
// a few messages, one on which little is started hears of it at once.
const watchGap = 50 * time.Millisecond

// await waits until there is something to tell a node, and until it may be
// told.
func (f *Changes) await(ctx context.Context, w *watcher) error {
	soonest := f.clock.Now().Add(watchGap)
	if _, err := loop.Await(ctx, w.wake); err != nil {
		return err
	}
	return loop.Sleep(ctx, f.clock, min(soonest.Sub(f.clock.Now()), watchGap)) // no longer, should the clock be set back
}

// reached waits until this server knows at least as much as the node does.
func (f *Changes) reached(ctx context.Context, index uint64) (*state.Snapshot, error) {
	ctx, cancel := loop.WithTimeout(ctx, catchUp)
	defer cancel()
	snap, err := f.store.SnapshotAt(ctx, index)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBehind, err)
	}
	return snap, nil
}

// view is what a node was sent: of each allocation, the index at which the
// servers last changed it. What only the node itself reported isn't sent back.
type view struct {
	nodeID string
	sent   map[string]uint64
}

// Delta is a set of allocations to be sent.
type Delta struct {
	// Index to resume from.
	Index uint64
	// Full says that Upserts are all there is: what isn't among them is gone.
	Full    bool
	Upserts []Upsert
	Removed []string
}

// Upsert is an allocation that is new or has changed.
type Upsert struct {
	*structs.Allocation
	// Fresh says that this watch tells of it for the first time.
	Fresh bool
}

func (d *Delta) empty() bool { return !d.Full && len(d.Upserts) == 0 && len(d.Removed) == 0 }

// all compares everything. If the node resumes, only what changed after from
// is sent; otherwise the set is full.
func (v *view) all(snap *state.Snapshot, from uint64, resumes bool) Delta {
	d := Delta{Index: snap.Index(), Full: !resumes}
	clear(v.sent)
	for a := range snap.AllocsByNode(v.nodeID) {
		v.sent[a.ID] = a.AllocModifyIndex
		if !resumes || a.AllocModifyIndex > from {
			d.Upserts = append(d.Upserts, Upsert{Allocation: a})
		}
	}
	return d
}

// some looks at the allocations named.
func (v *view) some(snap *state.Snapshot, ids []string) Delta {
	d := Delta{Index: snap.Index()}
	for _, id := range ids {
		a := snap.AllocView(id)
		sent, known := v.sent[id]
		switch {
		case !a.Valid() || a.Row().Node.ID != v.nodeID:
			// Told even if this watch never sent it: a node that resumes may
			// know it from before.
			delete(v.sent, id)
			d.Removed = append(d.Removed, id)
		case !known || a.Row().ServerModify > sent:
			v.sent[id] = a.Row().ServerModify
			d.Upserts = append(d.Upserts, Upsert{a.Allocation(), !known})
		}
	}
	return d
}

// send sends the set.
func (d *Delta) send(out grpc.ServerStreamingServer[linkpb.AllocChanges]) error {
	msg := &linkpb.AllocChanges{Index: d.Index, Full: d.Full, Removed: d.Removed}
	specs := specs{room: specRoom, seen: map[*structs.Job]bool{}}
	for _, u := range d.Upserts {
		packed, err := pack(u.Allocation)
		if err == nil && u.Fresh {
			packed.Spec, err = specs.of(u.Job)
		}
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		msg.Upserts = append(msg.Upserts, packed)
	}
	return out.Send(msg)
}

// specRoom is how many bytes of jobs go with one message.
const specRoom = 1 << 20

// specs are the jobs that go with a message: those of allocations that are new
// to the node, each once, as far as there is room. The node asks for others.
type specs struct {
	room int
	seen map[*structs.Job]bool
}

// of returns a job as it goes with its allocation; nil if it doesn't.
func (s *specs) of(job *structs.Job) ([]byte, error) {
	if job == nil || s.room <= 0 || s.seen[job] {
		return nil, nil
	}
	s.seen[job] = true
	packed, err := link.PackNoun(job)
	if err != nil || len(packed) > s.room {
		return nil, err
	}
	s.room -= len(packed)
	return packed, nil
}

// pack leaves out what travels by reference, and what nodes have no use for.
func pack(a *structs.Allocation) (*linkpb.AllocUpsert, error) {
	job := a.Job
	if job == nil {
		job = &structs.Job{ID: &a.JobID, Namespace: &a.Namespace}
	}
	lean := *a
	lean.Job, lean.Metrics = nil, nil
	packed, err := link.PackNoun(&lean)
	if err != nil {
		return nil, err
	}
	return &linkpb.AllocUpsert{Alloc: packed, Job: refOf(job)}, nil
}
