package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/structs"
)

// AllocSet is what changed among a node's allocations.
type AllocSet struct {
	// Index to resume from.
	Index uint64
	// Full says that Upserts are all there is: what isn't among them is gone.
	Full    bool
	Upserts []*structs.Allocation
	Removed []string
}

// WatchAllocs calls each with the node's allocations, from the index of the
// last set received (0: none yet), one call after the other. It outlives lost
// connections, and returns when ctx ends or each fails. Allocations of one job
// version share its Job, which must not be changed.
func (s *Session) WatchAllocs(ctx context.Context, from uint64, each func(*AllocSet) error) error {
	return s.watch(ctx, from, func(ctx context.Context, c *connection, from *uint64) error {
		return s.watchOnce(ctx, c, from, each)
	})
}

// watch follows something over one connection after the other, from an index
// on, until ctx ends or the watcher's own function fails.
func (s *Session) watch(ctx context.Context, from uint64, once func(ctx context.Context, c *connection, from *uint64) error) error {
	for wait := newBackoff(100*time.Millisecond, 5*time.Second); ; {
		c, caller, err := s.connected(ctx)
		if err != nil {
			return ctx.Err()
		}
		before := from
		err = once(caller.Outgoing(ctx), c, &from)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var stop *stopError
		if errors.As(err, &stop) {
			return stop.err
		}
		if from != before {
			wait.reset()
		}
		s.answered(c, err)
		if !s.pause(ctx, wait.next(s.random())) {
			return ctx.Err()
		}
	}
}

// stopError is an error of the watcher's own function.
type stopError struct{ err error }

// Error implements error.
func (e *stopError) Error() string { return e.err.Error() }

// watchOnce watches over one connection until that fails.
func (s *Session) watchOnce(ctx context.Context, c *connection, from *uint64, each func(*AllocSet) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	registered := s.registered
	s.mu.Unlock()
	stream, err := c.node.WatchAllocs(ctx, &linkpb.WatchAllocsRequest{From: *from, Registered: registered})
	if err != nil {
		return err
	}
	for {
		changes, err := stream.Recv()
		if err != nil {
			return err
		}
		set, err := s.resolve(ctx, c, changes)
		if err != nil {
			return err
		}
		s.answered(c, nil)
		if err := each(set); err != nil {
			return &stopError{err}
		}
		*from = set.Index
	}
}

// resolve unpacks a set and puts the jobs in.
func (s *Session) resolve(ctx context.Context, c *connection, changes *linkpb.AllocChanges) (*AllocSet, error) {
	set := &AllocSet{Index: changes.GetIndex(), Full: changes.GetFull(), Removed: changes.GetRemoved()}
	refs := make(map[string]jobRef, len(changes.GetUpserts()))
	for _, u := range changes.GetUpserts() {
		alloc := new(structs.Allocation)
		if err := UnpackNoun(u.GetAlloc(), alloc); err != nil {
			return nil, err
		}
		ref := refOf(u.GetJob())
		job, err := s.jobs.get(ref, func() (*structs.Job, error) {
			if spec := u.GetSpec(); len(spec) > 0 {
				job := new(structs.Job)
				return job, UnpackNoun(spec, job)
			}
			return fetchJob(ctx, c, u.GetJob(), alloc.ID)
		})
		if err != nil {
			return nil, fmt.Errorf("fetch job %s version %d: %w", ref.id, ref.version, err)
		}
		alloc.Job = job
		refs[alloc.ID] = ref
		set.Upserts = append(set.Upserts, alloc)
	}
	s.jobs.keep(refs, set)
	return set, nil
}

func fetchJob(ctx context.Context, c *connection, ref *linkpb.JobRef, allocID string) (*structs.Job, error) {
	reply, err := c.node.GetJob(ctx, &linkpb.GetJobRequest{Ref: ref, AllocId: allocID})
	if err != nil {
		return nil, err
	}
	job := new(structs.Job)
	return job, UnpackNoun(reply.GetJob(), job)
}

// ServiceSet is what changed among the service registrations of the region.
type ServiceSet struct {
	// Index to resume from.
	Index uint64
	// Full says that Upserts are all there is.
	Full    bool
	Upserts []*structs.ServiceRegistration
	// Removed are named NAMESPACE/ID.
	Removed []string
}

// WatchServices calls each with the registrations of the region, as WatchAllocs
// does with a node's allocations.
func (s *Session) WatchServices(ctx context.Context, from uint64, each func(*ServiceSet) error) error {
	return s.watch(ctx, from, func(ctx context.Context, c *connection, from *uint64) error {
		return s.watchServicesOnce(ctx, c, from, each)
	})
}

func (s *Session) watchServicesOnce(ctx context.Context, c *connection, from *uint64, each func(*ServiceSet) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.node.WatchServices(ctx, &linkpb.WatchServicesRequest{From: *from})
	if err != nil {
		return err
	}
	for set := new(ServiceSet); ; {
		changes, err := stream.Recv()
		if err != nil {
			return err
		}
		var upserts []*structs.ServiceRegistration
		if err := UnpackNoun(changes.GetUpserts(), &upserts); err != nil {
			return err
		}
		set.Index, set.Full = changes.GetIndex(), set.Full || changes.GetFull()
		set.Upserts, set.Removed = append(set.Upserts, upserts...), append(set.Removed, changes.GetRemoved()...)
		s.answered(c, nil)
		if changes.GetMore() {
			continue
		}
		if err := each(set); err != nil {
			return &stopError{err}
		}
		*from, set = set.Index, new(ServiceSet)
	}
}
