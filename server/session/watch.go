package session

import (
	"context"
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
	w := n.s.feed.watch(link.IncomingCaller(ctx).NodeID) // before the snapshot: nothing falls between
	defer n.s.feed.forget(w)
	snap, err := n.reached(ctx, req.GetFrom())
	if err != nil {
		return err
	}
	v := &view{nodeID: w.nodeID, sent: map[string]uint64{}}
	removed, resumes := n.s.feed.removedSince(w.nodeID, req.GetFrom())
	resumes = resumes && req.GetFrom() > 0
	changes := v.all(snap, req.GetFrom(), resumes)
	if resumes {
		changes.removed = removed
	}
	for changes.first = true; ; {
		if err := changes.send(out); err != nil {
			return err
		}
		if err := n.s.await(ctx, w); err != nil {
			return err
		}
		ids, resync := n.s.feed.take(w)
		snap = n.s.cfg.Store.Snapshot()
		if resync {
			changes = v.all(snap, 0, false)
		} else {
			changes = v.some(snap, ids)
		}
	}
}

// watchGap is the least time between two messages to a node: what comes
// meanwhile goes together into the next. A node on which much is started costs
// a few messages, one on which little is started hears of it at once.
const watchGap = 50 * time.Millisecond

// await waits until there is something to tell a node, and until it may be
// told.
func (s *Server) await(ctx context.Context, w *watcher) error {
	soonest := s.clock.Now().Add(watchGap)
	if _, err := loop.Await(ctx, w.wake); err != nil {
		return status.FromContextError(err).Err()
	}
	if err := loop.Sleep(ctx, s.clock, soonest.Sub(s.clock.Now())); err != nil {
		return status.FromContextError(err).Err()
	}
	return nil
}

// reached waits until this server knows at least as much as the node does.
func (n *nodeService) reached(ctx context.Context, index uint64) (*state.Snapshot, error) {
	ctx, cancel := loop.WithTimeout(ctx, catchUp)
	defer cancel()
	snap, err := n.s.cfg.Store.SnapshotAt(ctx, index)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "this server is behind what the node has seen: %v", err)
	}
	return snap, nil
}

// view is what a node was sent: of each allocation, the index at which the
// servers last changed it. What only the node itself reported isn't sent back.
type view struct {
	nodeID string
	sent   map[string]uint64
}

// delta is a set of allocations to be sent.
type delta struct {
	index   uint64
	full    bool
	first   bool // is sent even if it is empty: the node is up to date
	upserts []upsert
	removed []string
}

// upsert is an allocation that is new or has changed.
type upsert struct {
	*structs.Allocation
	fresh bool // this watch tells of it for the first time
}

// all compares everything. If the node resumes, only what changed after from
// is sent; otherwise the set is full.
func (v *view) all(snap *state.Snapshot, from uint64, resumes bool) delta {
	d := delta{index: snap.Index(), full: !resumes}
	clear(v.sent)
	for a := range snap.AllocsByNode(v.nodeID) {
		v.sent[a.ID] = a.AllocModifyIndex
		if !resumes || a.AllocModifyIndex > from {
			d.upserts = append(d.upserts, upsert{Allocation: a})
		}
	}
	return d
}

// some looks at the allocations named.
func (v *view) some(snap *state.Snapshot, ids []string) delta {
	d := delta{index: snap.Index()}
	for _, id := range ids {
		a := snap.AllocView(id)
		sent, known := v.sent[id]
		switch {
		case !a.Valid() || a.Row().Node.ID != v.nodeID:
			// Told even if this watch never sent it: a node that resumes may
			// know it from before.
			delete(v.sent, id)
			d.removed = append(d.removed, id)
		case !known || a.Row().ServerModify > sent:
			v.sent[id] = a.Row().ServerModify
			d.upserts = append(d.upserts, upsert{a.Allocation(), !known})
		}
	}
	return d
}

// send sends the set, unless it says nothing.
func (d delta) send(out grpc.ServerStreamingServer[linkpb.AllocChanges]) error {
	if !d.first && !d.full && len(d.upserts) == 0 && len(d.removed) == 0 {
		return nil
	}
	msg := &linkpb.AllocChanges{Index: d.index, Full: d.full, Removed: d.removed}
	specs := specs{room: specRoom, seen: map[*structs.Job]bool{}}
	for _, u := range d.upserts {
		packed, err := pack(u.Allocation)
		if err == nil && u.fresh {
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
