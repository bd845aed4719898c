package session

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/structs"
)

const (
	// rememberedServices is how many changes of registrations a node that
	// reconnects may have missed before it is sent the full set.
	rememberedServices = 4096
	// serviceGap is the least time between two sets of registrations to a node:
	// every node is told of every change, so they are gathered.
	serviceGap = 250 * time.Millisecond
	// servicesAtOnce is how many registrations go with one message.
	servicesAtOnce = 1000
)

// healths are what nodes may tell of the health of their registrations.
var healths = []string{"", structs.CheckStatusSuccess, structs.CheckStatusWarning, structs.CheckStatusFailure, structs.CheckStatusPending}

// serviceLog is what happened to registrations, for all nodes alike. The lock of
// Changes guards it.
type serviceLog struct {
	changes []serviceChange // in the order of their index
	since   uint64          // changes after this index are all there
	covered uint64          // ... up to this one
	grown   chan struct{}   // closed at the next one
}

type serviceChange struct {
	index         uint64
	namespace, id string
}

func (l *serviceLog) restart(from uint64) {
	l.changes, l.since, l.covered = nil, from, from
	l.wake()
}

func (l *serviceLog) wake() {
	if l.grown != nil {
		close(l.grown)
	}
	l.grown = make(chan struct{})
}

func (l *serviceLog) add(c serviceChange) {
	if len(l.changes) >= rememberedServices {
		half := len(l.changes) / 2
		l.since = l.changes[half-1].index
		l.changes = append([]serviceChange(nil), l.changes[half:]...)
	}
	l.changes = append(l.changes, c)
}

// after returns what has changed after index, each registration once; false if
// that isn't known any more.
func (l *serviceLog) after(index uint64) (map[serviceChange]bool, bool) {
	if index == 0 || index < l.since {
		return nil, false
	}
	out := map[serviceChange]bool{}
	for _, c := range l.changes {
		if c.index > index {
			out[serviceChange{namespace: c.namespace, id: c.id}] = true
		}
	}
	return out, true
}

// WatchServices implements linkpb.NodeLinkServer. Any server answers it, from
// what it has applied itself.
func (n *nodeService) WatchServices(req *linkpb.WatchServicesRequest, out grpc.ServerStreamingServer[linkpb.ServiceChanges]) error {
	ctx := out.Context()
	err := n.s.changes.WatchServices(ctx, req.GetFrom(), func(set *link.ServiceSet) error { return sendServices(set, out) })
	switch {
	case errors.Is(err, errBehind):
		return status.Error(codes.Unavailable, err.Error())
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

// sendServices sends a set, in several messages if it is large.
func sendServices(set *link.ServiceSet, out grpc.ServerStreamingServer[linkpb.ServiceChanges]) error {
	rest := set.Upserts
	for {
		part := rest[:min(len(rest), servicesAtOnce)]
		rest = rest[len(part):]
		packed, err := link.PackNoun(part)
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		msg := &linkpb.ServiceChanges{Index: set.Index, Full: set.Full, Upserts: packed, More: len(rest) > 0}
		if len(rest) == 0 {
			msg.Removed = set.Removed
		}
		if err := out.Send(msg); err != nil || len(rest) == 0 {
			return err
		}
	}
}

// WatchServices sends the registrations of the region: what came after the index
// from, if that is known, else everything; then each change. It returns when ctx
// ends or send fails.
func (f *Changes) WatchServices(ctx context.Context, from uint64, send func(*link.ServiceSet) error) error {
	if _, err := f.reached(ctx, from); err != nil {
		return err
	}
	for first := true; ; first = false {
		set, grown := f.servicesAfter(from)
		if first || set.Full || len(set.Upserts) > 0 || len(set.Removed) > 0 {
			if err := send(set); err != nil {
				return err
			}
		}
		from = set.Index
		if _, err := loop.Await(ctx, grown); err != nil {
			return err
		}
		if err := loop.Sleep(ctx, f.clock, serviceGap); err != nil {
			return err
		}
	}
}

// servicesAfter returns what has changed after an index, and what is closed at
// the next change.
func (f *Changes) servicesAfter(from uint64) (*link.ServiceSet, <-chan struct{}) {
	f.mu.Lock()
	changed, resumes := f.services.after(from)
	set, grown := &link.ServiceSet{Index: max(from, f.services.covered), Full: !resumes}, f.services.grown
	f.mu.Unlock()
	snap := f.store.Snapshot() // later than the log: what it has beyond is told again
	if !resumes {
		for r := range snap.Services("*") {
			set.Upserts = append(set.Upserts, r)
		}
		return set, grown
	}
	for c := range changed {
		if r := snap.Service(c.namespace, c.id); r != nil {
			set.Upserts = append(set.Upserts, r)
		} else {
			set.Removed = append(set.Removed, c.namespace+"/"+c.id)
		}
	}
	return set, grown
}
