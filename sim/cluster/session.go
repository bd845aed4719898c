package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/server/session"
	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/sim/server"
	"github.com/steppe-run/steppe/sim/virtual"
	"github.com/steppe-run/steppe/structs"
)

// Times of a node's connections.
const (
	// attemptLimit is how long an answer of one server is awaited.
	attemptLimit = 10 * time.Second
	redialMin    = 100 * time.Millisecond
	redialMax    = 5 * time.Second
	// silence is how long it takes both ends of a stream to notice that it is cut.
	silence = 10 * time.Second
	// serveLimit bounds a call on the server.
	serveLimit = 30 * time.Second
)

// errUnreachable is what a node sees of a server that is down or cut off.
var errUnreachable = errors.New("no server could be reached")

// nodeSession is what one life of an agent has of the servers: calls and a
// stream over the simulated network, with retries as the real link has.
type nodeSession struct {
	c                   *Cluster
	n                   *node.Node
	m                   *virtual.Machine
	registered, reports uint64
	// server is the one that the node is connected to, by number.
	server int
}

// call is one request: what the leader does with it.
type call func(ctx context.Context, on *control.Control) error

// do has a call made, by whichever server can be reached, until ctx ends or an
// answer has come.
func (s *nodeSession) do(ctx context.Context, f call) error {
	pause := redialMin
	for {
		err := s.attempt(ctx, f)
		if err == nil || !passing(err) {
			return translated(err)
		}
		s.server = s.c.random.IntN(len(s.c.servers)) // another one may know more
		if loop.Sleep(ctx, s.m, pause) != nil {
			return err
		}
		pause = min(pause*2, redialMax)
	}
}

// passing reports whether another try may succeed.
func passing(err error) bool {
	var faults *structs.ValidationError
	if errors.As(err, &faults) {
		return false
	}
	var refusal *structs.Error
	if errors.As(err, &refusal) {
		return refusal.Kind == structs.KindUnavailable || refusal.Kind == structs.KindNoLeader || refusal.Kind == structs.KindNotLeader
	}
	return true
}

// translated is an error as it comes out of the link.
func translated(err error) error {
	var refusal *structs.Error
	if errors.As(err, &refusal) {
		if refusal.Kind == structs.KindNotFound {
			return fmt.Errorf("%w (%w)", link.ErrNodeUnknown, err)
		}
		return fmt.Errorf("%w: %w", link.ErrRefused, err)
	}
	return err
}

// attempt asks one server.
func (s *nodeSession) attempt(ctx context.Context, f call) error {
	ctx, cancel := loop.WithTimeout(ctx, attemptLimit)
	defer cancel()
	to := s.c.servers[s.server]
	answered := make(chan struct{}, 2)
	outcome := errUnreachable
	tell := func() {
		select {
		case answered <- struct{}{}:
		default: // it came twice
		}
		s.m.Look()
	}
	answer := func(err error) {
		s.c.net.Send(to.Name(), s.n.Name(), func() {
			outcome = err
			tell()
		})
	}
	s.c.net.Send(s.n.Name(), to.Name(), func() { s.c.serve(to, false, f, answer) })
	if !to.Member().IsUp() {
		// A machine that is down refuses connections.
		s.c.runtime.After(2*time.Millisecond, tell)
	}
	if _, err := loop.Await(ctx, answered); err != nil {
		return errUnreachable
	}
	return outcome
}

// serve has a server perform a call, or pass it on to the leader.
func (c *Cluster) serve(on *server.Server, forwarded bool, f call, answer func(error)) {
	m := on.Machine()
	if m == nil {
		return
	}
	m.Go("call", func() {
		ctx, cancel := loop.WithTimeout(m.Context(), serveLimit)
		defer cancel()
		err := structs.ErrNotLeader
		var e error = err
		if on.Member().Leading() {
			e = f(ctx, on.Control())
		}
		if !errors.Is(e, structs.ErrNotLeader) {
			answer(e)
			return
		}
		leader := c.region.Leader()
		if forwarded || leader == nil || leader == on.Member() {
			answer(structs.ErrNoLeader)
			return
		}
		to := c.serverOf(leader)
		c.net.Send(on.Name(), to.Name(), func() {
			c.serve(to, true, f, func(err error) {
				c.net.Send(to.Name(), on.Name(), func() {
					if on.Machine() == m {
						answer(err)
					}
				})
			})
		})
	})
}

// Register implements client.Servers.
func (s *nodeSession) Register(ctx context.Context, n *structs.Node) (ttl time.Duration, err error) {
	err = s.do(ctx, func(ctx context.Context, on *control.Control) (err error) {
		var index uint64
		index, ttl, err = on.RegisterNode(ctx, n.Clone())
		if index > s.registered {
			s.registered, s.reports = index, 0
		}
		return err
	})
	return ttl, err
}

// Heartbeat implements client.Servers.
func (s *nodeSession) Heartbeat(ctx context.Context) (ttl time.Duration, err error) {
	err = s.do(ctx, func(ctx context.Context, on *control.Control) (err error) {
		ttl, err = on.Heartbeat(ctx, s.n.ID())
		return err
	})
	return ttl, err
}

// UpdateAllocs implements client.Servers.
func (s *nodeSession) UpdateAllocs(ctx context.Context, updates []*structs.AllocUpdate) error {
	s.reports++
	for _, u := range updates {
		u.Order = structs.ReportOrder(s.registered, s.reports)
	}
	return s.do(ctx, func(ctx context.Context, on *control.Control) error {
		_, err := on.UpdateAllocs(ctx, s.n.ID(), updates)
		return err
	})
}

// UpsertServices implements client.Services.
func (s *nodeSession) UpsertServices(ctx context.Context, services []*structs.ServiceRegistration) error {
	return s.do(ctx, func(ctx context.Context, on *control.Control) error {
		_, err := on.UpsertServices(ctx, services)
		return err
	})
}

// SyncServices implements client.Services.
func (s *nodeSession) SyncServices(ctx context.Context, services []*structs.ServiceRegistration) error {
	return s.do(ctx, func(ctx context.Context, on *control.Control) error {
		_, err := on.SyncServices(ctx, s.n.ID(), services)
		return err
	})
}

// WatchServices implements client.Services; nobody asks a simulated node for
// names.
func (s *nodeSession) WatchServices(ctx context.Context, _ uint64, _ func(*link.ServiceSet) error) error {
	_, err := loop.Await(ctx)
	return err
}

// DeleteServices implements client.Services.
func (s *nodeSession) DeleteServices(ctx context.Context, namespace string, ids []string) error {
	return s.do(ctx, func(ctx context.Context, on *control.Control) error {
		_, err := on.DeleteServices(ctx, namespace, ids)
		return err
	})
}

// WatchAllocs implements client.Servers.
func (s *nodeSession) WatchAllocs(ctx context.Context, from uint64, each func(*link.AllocSet) error) error {
	pause := redialMin
	for {
		err := s.watch(ctx, &from, func(set *link.AllocSet) error {
			pause = redialMin
			return each(set)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var broken *streamError
		if !errors.As(err, &broken) {
			return err
		}
		s.server = s.c.random.IntN(len(s.c.servers))
		if err := loop.Sleep(ctx, s.m, pause); err != nil {
			return err
		}
		pause = min(pause*2, redialMax)
	}
}

// streamError says that a stream broke: it is opened anew.
type streamError struct{ err error }

// Error implements error.
func (e *streamError) Error() string { return "the stream of allocations broke: " + e.err.Error() }

// stream is one connection by which a server tells a node of its allocations.
type stream struct {
	s  *nodeSession
	to *server.Server
	// machine is the life of the server that serves it; nil until it is open.
	machine *virtual.Machine
	queue   []*link.AllocSet
	wake    chan struct{}
	ended   error
}

// watch opens a stream and takes what comes, until it breaks.
func (s *nodeSession) watch(ctx context.Context, from *uint64, each func(*link.AllocSet) error) error {
	st := &stream{s: s, to: s.c.servers[s.server], wake: make(chan struct{}, 1)}
	end := func(err error) {
		if st.ended == nil {
			st.ended = &streamError{err}
		}
		st.ring()
	}
	cancel := st.open(*from, end)
	defer func() { cancel() }()
	for {
		for len(st.queue) > 0 {
			set := st.queue[0]
			st.queue = st.queue[1:]
			if err := each(set); err != nil {
				return err
			}
			*from = set.Index
		}
		if st.ended != nil {
			return st.ended
		}
		if _, err := loop.Wait(ctx, s.m, silence, st.wake); err != nil {
			return err
		}
		if !st.whole() {
			end(errUnreachable)
		}
	}
}

// whole reports whether both ends live and reach each other.
func (st *stream) whole() bool {
	return !st.s.m.Dead() && st.s.c.linked(st.s.n.Name(), st.to) && st.machine == st.to.Machine()
}

func (st *stream) ring() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
	st.s.m.Look()
}

// open has the server serve the stream; what it returns ends that.
func (st *stream) open(from uint64, end func(error)) context.CancelFunc {
	s, c := st.s, st.s.c
	var cancel context.CancelFunc = func() {}
	lost := func() { // both ends notice after a while
		c.runtime.After(silence, func() { end(errUnreachable); cancel() })
	}
	c.net.SendOnce(s.n.Name(), st.to.Name(), func() {
		m := st.to.Machine()
		if m == nil {
			end(errUnreachable)
			return
		}
		st.machine = m
		changes := st.to.Changes()
		ctx, stop := context.WithCancel(m.Context())
		cancel = func() { stop(); m.Look() }
		m.Go("watch of "+s.n.Name(), func() {
			var order orderly
			err := changes.Watch(ctx, session.Seen{NodeID: s.n.ID(), From: from, Registered: s.registered}, func(d *session.Delta) error {
				if !st.whole() {
					return errUnreachable
				}
				set := setOf(d)
				turn := order.next()
				c.net.SendOnce(st.to.Name(), s.n.Name(), func() {
					order.arrive(turn, func() { st.queue = append(st.queue, set) })
					st.ring()
				}, lost)
				return nil
			})
			c.net.SendOnce(st.to.Name(), s.n.Name(), func() { end(fmt.Errorf("the server ended it: %w", err)) }, lost)
		})
	}, lost)
	return func() { cancel() }
}

// orderly keeps the messages of a stream in their order, however long each
// takes.
type orderly struct {
	sent, arrived int
	early         map[int]func()
}

func (o *orderly) next() int {
	o.sent++
	return o.sent
}

func (o *orderly) arrive(turn int, f func()) {
	if o.early == nil {
		o.early = map[int]func(){}
	}
	o.early[turn] = f
	for f := o.early[o.arrived+1]; f != nil; f = o.early[o.arrived+1] {
		o.arrived++
		delete(o.early, o.arrived)
		f()
	}
}

// setOf is a set as it comes out of the link.
func setOf(d *session.Delta) *link.AllocSet {
	set := &link.AllocSet{Index: d.Index, Full: d.Full, Removed: d.Removed}
	for _, u := range d.Upserts {
		a := *u.Allocation
		a.Metrics = nil
		set.Upserts = append(set.Upserts, &a)
	}
	return set
}
