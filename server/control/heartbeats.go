package control

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Heartbeat notes that a node is alive and tells it its next TTL. A node that
// was given up is taken back.
func (s *Control) Heartbeat(ctx context.Context, nodeID string) (time.Duration, error) {
	t, err := s.leading()
	if err != nil {
		return 0, err
	}
	snap := s.store.Snapshot()
	node := snap.Node(nodeID)
	if node == nil {
		return 0, structs.ErrNodeNotFound
	}
	if node.Status != structs.NodeStatusReady || node.SilentSince != 0 {
		now := s.cfg.Clock.Now()
		_, err := s.propose(ctx, &command.SetNodeStatus{
			Nodes: []command.NodeStatus{{
				NodeID: nodeID,
				Status: structs.NodeStatusReady,
				Event:  nodeEvent(structs.NodeEventCluster, "Node is heard of again", now),
			}},
			EvalSeed: s.cfg.NewID(),
			Now:      now.UnixNano(),
		})
		if err != nil {
			return 0, err
		}
	}
	return t.beat(nodeID), nil
}

// beat renews a node's time to live and has the loop that expires nodes look
// at the new deadline.
func (t *term) beat(nodeID string) time.Duration {
	ttl := t.heartbeats.Beat(nodeID, t.s.cfg.Clock.Now())
	t.beats.ring()
	return ttl
}

// Rhythm of the loop that expires nodes: it looks at least so often, and finds out
// that it stood still itself if it comes that much later than it wanted.
const (
	expireTick  = 2 * time.Second
	expireStall = 2 * time.Second
)

// expireNodes gives up nodes that are silent beyond their time to live: all
// that expire together in one entry. While the server itself stood still nobody
// could be heard: that isn't held against the nodes.
func (t *term) expireNodes(ctx context.Context) error {
	for {
		next := t.s.cfg.Clock.Now().Add(expireTick)
		if at, ok := t.heartbeats.Next(); ok && at.Before(next) {
			next = at
		}
		if err := t.s.wait(ctx, t.beats, next); err != nil {
			return err
		}
		now := t.s.cfg.Clock.Now()
		if stall := now.Sub(next); stall >= expireStall {
			t.s.log.Warn("this server stood still: nodes are given as much longer", logx.KeyDuration, stall)
			t.heartbeats.Delay(stall + expireTick)
		}
		if err := t.expire(ctx, now); err != nil && !leaderGone(err) {
			t.s.log.Error("silent nodes could not be marked; this is retried", logx.KeyError, err)
		}
	}
}

// expire deals with the nodes that are overdue, and with those held back.
func (t *term) expire(ctx context.Context, now time.Time) error {
	if at, ok := t.heartbeats.Next(); !ok || at.After(now) {
		return t.tend(ctx)
	}
	roll := t.heartbeats.Roll(now)
	expired := t.heartbeats.Expired(now)
	act := t.giveUp
	if t.brake.holds(roll, t.heartbeats.Window(), now) {
		act = t.holdBack
	}
	err := act(ctx, expired)
	if err != nil {
		for _, id := range expired {
			t.heartbeats.Watch(id, now)
		}
	}
	return err
}

// GiveUp does what follows when nodes fall silent: all of them in one entry.
func (s *Control) GiveUp(ctx context.Context, nodeIDs []string) error {
	t, err := s.leading()
	if err != nil {
		return err
	}
	return t.giveUp(ctx, nodeIDs)
}

func (t *term) giveUp(ctx context.Context, nodeIDs []string) error {
	now := t.s.cfg.Clock.Now()
	snap := t.s.store.Snapshot()
	c := &command.SetNodeStatus{EvalSeed: t.s.cfg.NewID(), Now: now.UnixNano()}
	for _, id := range nodeIDs {
		node := snap.Node(id)
		if node == nil || node.Status == structs.NodeStatusDown {
			continue
		}
		status := silentStatus(snap, id)
		if status == structs.NodeStatusDisconnected {
			t.heartbeats.Watch(id, now) // it may be down later
		}
		if status == node.Status && node.SilentSince == 0 {
			continue
		}
		t.s.log.Warn("a node is silent", logx.KeyNode, id, "status", status)
		c.Nodes = append(c.Nodes, command.NodeStatus{
			NodeID: id,
			Status: status,
			Event:  nodeEvent(structs.NodeEventHeartbeat, "Node missed its heartbeat", now),
		})
	}
	if len(c.Nodes) == 0 {
		return nil
	}
	_, err := t.s.propose(ctx, c)
	if err == nil {
		t.brake.count(len(c.Nodes), now)
	}
	return err
}

// silentStatus is disconnected for a node with allocations that may go on
// without the servers for a while, else down.
func silentStatus(snap *state.Snapshot, nodeID string) string {
	for a := range snap.AllocsByNode(nodeID) {
		if a.TerminalStatus() {
			continue
		}
		g := a.Job.LookupTaskGroup(a.TaskGroup)
		if g != nil && g.Disconnect != nil && structs.Value(g.Disconnect.LostAfter) > 0 {
			return structs.NodeStatusDisconnected
		}
	}
	return structs.NodeStatusDown
}

func nodeEvent(subsystem, message string, now time.Time) *structs.NodeEvent {
	return &structs.NodeEvent{Message: message, Subsystem: subsystem, Timestamp: now}
}
