package load

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/structs"
)

// node is a simulated node: it registers, heartbeats, watches its allocations
// and reports each as running at once, as a node agent would whose tasks start
// in no time.
type node struct {
	fleet   *fleet
	self    *structs.Node
	session *link.Session
	clock   clock.Clock

	mu    sync.Mutex
	known map[string]bool // allocations seen, by ID; true once it was told to stop
	queue []*structs.Allocation
	wake  chan struct{}
}

func newNode(f *fleet, i int, identity *certs.TLS, log *slog.Logger) (*node, error) {
	self := machine(i, f.opts.Equal)
	session, err := link.NewSession(link.SessionConfig{
		NodeID: self.ID, SecretID: self.SecretID, Servers: []string{f.opts.Server}, TLS: identity, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	return &node{
		fleet: f, self: self, session: session, clock: clock.Real{},
		known: map[string]bool{}, wake: make(chan struct{}, 1),
	}, nil
}

// run lives until ctx ends.
func (n *node) run(ctx context.Context) error {
	group := loop.New(ctx)
	group.Go("session", n.session.Run)
	group.Go("node", n.live)
	return group.Wait()
}

func (n *node) live(ctx context.Context) error {
	if err := n.fleet.doors.take(ctx); err != nil {
		return err
	}
	ttl, err := n.session.Register(ctx, n.self)
	n.fleet.doors.give()
	if err != nil {
		return fmt.Errorf("register %s: %w", n.self.Name, err)
	}
	n.fleet.tally.registered()
	group := loop.New(ctx)
	group.Go("heartbeat", func(ctx context.Context) error { return n.beat(ctx, ttl) })
	group.Go("watch", func(ctx context.Context) error { return n.session.WatchAllocs(ctx, 0, n.receive) })
	group.Go("report", n.report)
	return group.Wait()
}

// beat renews the node's time to live at half of it.
func (n *node) beat(ctx context.Context, ttl time.Duration) error {
	for {
		if err := n.sleep(ctx, ttl/2); err != nil {
			return err
		}
		next, err := n.session.Heartbeat(ctx)
		switch {
		case err == nil:
			ttl = next
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			n.fleet.tally.failed("heartbeat", err)
			ttl = 2 * time.Second
		}
	}
}

func (n *node) sleep(ctx context.Context, d time.Duration) error {
	timer := n.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// receive takes what changed among the node's allocations.
func (n *node) receive(set *link.AllocSet) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range set.Upserts {
		stops := a.DesiredStatus != structs.AllocDesiredRun
		stopped, seen := n.known[a.ID]
		if seen && stopped == stops {
			continue
		}
		n.known[a.ID] = stops
		if !seen && !stops {
			n.fleet.tally.received(n.self.ID, a)
		}
		n.queue = append(n.queue, a)
	}
	for _, id := range set.Removed {
		delete(n.known, id)
	}
	n.poke()
	return nil
}

func (n *node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// report tells what became of the allocations: all that came while the previous
// report was under way go together into the next.
func (n *node) report(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.wake:
		}
		batch := n.take()
		if len(batch) == 0 {
			continue
		}
		updates := make([]*structs.AllocUpdate, len(batch))
		for i, a := range batch {
			updates[i] = outcome(a, n.clock.Now())
		}
		if err := n.session.UpdateAllocs(ctx, updates); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n.fleet.tally.failed("report", err)
			n.putBack(batch)
			if err := n.sleep(ctx, time.Second); err != nil {
				return err
			}
			continue
		}
		n.fleet.tally.told(batch, n.clock.Now())
	}
}

// take takes what is to be reported; what belongs to a wave that is held stays.
func (n *node) take() []*structs.Allocation {
	held := n.fleet.tally.held()
	n.mu.Lock()
	defer n.mu.Unlock()
	var out, rest []*structs.Allocation
	for _, a := range n.queue {
		if held != "" && waveOf(a) == held && a.DesiredStatus == structs.AllocDesiredRun {
			rest = append(rest, a)
		} else {
			out = append(out, a)
		}
	}
	n.queue = rest
	return out
}

func (n *node) putBack(batch []*structs.Allocation) {
	n.mu.Lock()
	n.queue = append(batch, n.queue...)
	n.mu.Unlock()
	n.poke()
}

func waveOf(a *structs.Allocation) string {
	if a.Job == nil {
		return ""
	}
	return a.Job.Meta[metaWave]
}

// submitted is when the allocation's job was sent.
func submitted(a *structs.Allocation) (time.Time, bool) {
	if a.Job == nil {
		return time.Time{}, false
	}
	ns, err := strconv.ParseInt(a.Job.Meta[metaSubmitted], 10, 64)
	return time.Unix(0, ns), err == nil
}

// outcome is what a node agent would report: the task states with their events,
// and health where a deployment waits for it.
func outcome(a *structs.Allocation, now time.Time) *structs.AllocUpdate {
	u := &structs.AllocUpdate{ID: a.ID, ClientStatus: structs.AllocClientRunning, TaskStates: map[string]*structs.TaskState{}, ModifyTime: now.UnixNano()}
	state := structs.TaskStateRunning
	events := []string{structs.TaskReceived, structs.TaskSetup, structs.TaskStarted}
	var finished time.Time
	if a.DesiredStatus != structs.AllocDesiredRun {
		u.ClientStatus, state, finished = structs.AllocClientComplete, structs.TaskStateDead, now
		events = append(events, structs.TaskKilling, structs.TaskKilled)
	} else if a.DeploymentID != "" {
		healthy := true
		u.DeploymentStatus = &structs.AllocDeploymentStatus{Healthy: &healthy, Timestamp: now}
	}
	for _, task := range tasksOf(a) {
		ts := &structs.TaskState{State: state, StartedAt: now, FinishedAt: finished}
		for _, e := range events {
			ts.Events = append(ts.Events, &structs.TaskEvent{Type: e, Time: now.UnixNano()})
		}
		u.TaskStates[task] = ts
	}
	return u
}

func tasksOf(a *structs.Allocation) []string {
	var out []string
	if a.Job != nil {
		if g := a.Job.LookupTaskGroup(a.TaskGroup); g != nil {
			for _, t := range g.Tasks {
				out = append(out, t.Name)
			}
		}
	}
	return out
}

// quiet is the logger of simulated nodes: ten thousand sessions that come and go
// say nothing.
func quiet() *slog.Logger { return logx.Discard() }
