package control

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/server/evals"
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
	if node.Status != structs.NodeStatusReady {
		now := s.cfg.Clock.Now()
		_, err := s.propose(ctx, &command.SetNodeStatus{
			Nodes: []command.NodeStatus{{
				NodeID: nodeID,
				Status: structs.NodeStatusReady,
				Event:  nodeEvent(structs.NodeEventCluster, "Node is heard of again", now),
			}},
			Evals:    s.evals.OfNode(snap, nodeID, returnTrigger(node), now),
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

// expireNodes gives up nodes that are silent beyond their time to live: all
// that expire together in one entry.
func (t *term) expireNodes(ctx context.Context) error {
	for {
		next, _ := t.heartbeats.Next()
		if err := t.s.wait(ctx, t.beats, next); err != nil {
			return err
		}
		expired := t.heartbeats.Expired(t.s.cfg.Clock.Now())
		if len(expired) == 0 {
			continue
		}
		if err := t.giveUp(ctx, expired); err != nil {
			t.s.log.Error("silent nodes could not be marked; this is retried", logx.KeyError, err, logx.KeyCount, len(expired))
			for _, id := range expired {
				t.heartbeats.Beat(id, t.s.cfg.Clock.Now())
			}
		}
	}
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
	wanted := map[structs.NamespacedID]*structs.Evaluation{}
	for _, id := range nodeIDs {
		node := snap.Node(id)
		if node == nil || node.Status == structs.NodeStatusDown {
			continue
		}
		status := silentStatus(snap, id)
		if status == structs.NodeStatusDisconnected {
			t.heartbeats.Beat(id, now) // to be looked at again: it may be down later
		}
		if status == node.Status {
			continue
		}
		t.s.log.Warn("a node is silent", logx.KeyNode, id, "status", status)
		c.Nodes = append(c.Nodes, command.NodeStatus{
			NodeID: id,
			Status: status,
			Event:  nodeEvent(structs.NodeEventHeartbeat, "Node missed its heartbeat", now),
		})
		t.s.evals.Collect(snap, wanted, id, structs.TriggerNodeUpdate, now)
	}
	if len(c.Nodes) == 0 {
		return nil
	}
	c.Evals = evals.Sorted(wanted)
	_, err := t.s.propose(ctx, c)
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
