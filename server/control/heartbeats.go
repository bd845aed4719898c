package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/server/heartbeat"
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
			Nodes:    []command.NodeStatus{s.heardAgain(node, now)},
			EvalSeed: s.cfg.NewID(),
			Now:      now.UnixNano(),
		})
		if err != nil {
			return 0, err
		}
	}
	return t.beat(nodeID), nil
}

// heardAgain takes a node back, into quarantine if it was lost too often.
func (s *Control) heardAgain(n *structs.Node, now time.Time) command.NodeStatus {
	back := command.NodeStatus{
		NodeID: n.ID, Status: structs.NodeStatusReady, Event: nodeEvent(structs.NodeEventCluster, "Node is heard of again", now),
	}
	end := heartbeat.QuarantineEnd(n, s.cfg.QuarantineAfter)
	if !end.After(now) {
		return back
	}
	back.QuarantineUntil = end.UnixNano()
	back.Description = fmt.Sprintf("lost %d times in a row: in quarantine, it takes no placements until %s", n.Losses, end.UTC().Format(time.RFC3339))
	back.Event.Message = fmt.Sprintf("Node is heard of again. It was lost %d times in a row, so it takes no placements until %s; making it eligible ends that",
		n.Losses, end.UTC().Format(time.RFC3339))
	return back
}

// endQuarantines lets nodes take placements again whose time is over.
func (t *term) endQuarantines(ctx context.Context, now time.Time) error {
	due := t.quarantine.Due(now)
	if len(due) == 0 {
		return nil
	}
	snap := t.s.store.Snapshot()
	c := &command.SetNodeStatus{EvalSeed: t.s.cfg.NewID(), Now: now.UnixNano()}
	for _, id := range due {
		if n := snap.Node(id); n != nil && n.QuarantineUntil != 0 {
			c.Nodes = append(c.Nodes, command.NodeStatus{
				NodeID: id, Status: n.Status, SilentSince: n.SilentSince, NodeModifyIndex: n.ModifyIndex,
				Event: nodeEvent(structs.NodeEventCluster, "Node's quarantine is over", now),
			})
		}
	}
	if len(c.Nodes) == 0 {
		return nil
	}
	_, err := t.s.propose(ctx, c)
	return err
}

// beat renews a node's time to live and has the loop that expires nodes look
// at the new deadline.
func (t *term) beat(nodeID string) time.Duration {
	ttl := t.heartbeats.Beat(nodeID, t.s.cfg.Clock.Now())
	t.beats.ring()
	return ttl
}

// expireTick is how often the loop that expires nodes looks at the clock, at least.
const expireTick = 2 * time.Second

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
		if d := t.heartbeats.Stood(now); d != 0 {
			t.s.log.Warn("this server stood still, or its clock was set: the nodes' time to live is moved by as much", logx.KeyDuration, d)
		}
		if err := errors.Join(t.expire(ctx, now), t.endQuarantines(ctx, now)); err != nil && !leaderGone(err) {
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
	if t.held.Holds(roll, t.heartbeats.Window(), now) {
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
		status := silentStatus(snap, node, now)
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
		t.held.Lost(len(c.Nodes), now)
	}
	return err
}

// silentStatus is disconnected for a node with allocations that may go on
// without the servers for a while that is not over yet, else down.
func silentStatus(snap *state.Snapshot, node *structs.Node, now time.Time) string {
	var away time.Duration
	if node.Status == structs.NodeStatusDisconnected {
		away = now.Sub(time.Unix(node.StatusUpdatedAt, 0))
	}
	for a := range snap.AllocsByNode(node.ID) {
		if a.TerminalStatus() {
			continue
		}
		g := a.Job.LookupTaskGroup(a.TaskGroup)
		if g != nil && g.Disconnect != nil && structs.Value(g.Disconnect.LostAfter) > away {
			return structs.NodeStatusDisconnected
		}
	}
	return structs.NodeStatusDown
}

func nodeEvent(subsystem, message string, now time.Time) *structs.NodeEvent {
	return &structs.NodeEvent{Message: message, Subsystem: subsystem, Timestamp: now}
}

// brakeAdvice is what a person can do about nodes that are held back.
const brakeAdvice = "See steppe operator brake status; steppe operator brake release gives them up"

// holdBack leaves silent nodes and what runs on them as they are, and tells so.
func (t *term) holdBack(ctx context.Context, nodeIDs []string) error {
	now := t.s.cfg.Clock.Now()
	snap := t.s.store.Snapshot()
	c := &command.SetNodeStatus{Now: now.UnixNano()} // nothing follows from it
	var others []string                              // of whom was known that they are silent
	for _, id := range nodeIDs {
		switch n := snap.Node(id); {
		case n == nil || n.SilentSince != 0:
		case n.Status == structs.NodeStatusDisconnected:
			others = append(others, id)
		case n.Status != structs.NodeStatusDown:
			c.Nodes = append(c.Nodes, command.NodeStatus{
				NodeID: id, Status: n.Status, SilentSince: now.UnixNano(), QuarantineUntil: n.QuarantineUntil,
				Description: "silent, together with many others: nothing is moved away from it yet (see operator brake)",
				Event:       nodeEvent(structs.NodeEventHeartbeat, "Node missed its heartbeat together with many others: its loss is held back", now),
			})
		}
	}
	t.held.Ease(false)
	first := len(t.held.All()) == 0
	if len(c.Nodes) > 0 {
		if _, err := t.s.propose(ctx, c); err != nil {
			return err
		}
		say := t.s.log.Warn
		if first {
			say = t.s.log.Error
		}
		say("many nodes are silent at once: their loss is held back, nothing is moved away from them. "+brakeAdvice, logx.KeyCount, len(c.Nodes))
	}
	return t.giveUp(ctx, others)
}

// tend gives up what was held back for long enough, and lets go once so many
// nodes are back that the rest is no more than may be lost.
func (t *term) tend(ctx context.Context) error {
	now := t.s.cfg.Clock.Now()
	held := t.held.All()
	if len(held) == 0 {
		return nil
	}
	if due := t.held.Due(); !due.IsZero() && !due.After(now) {
		t.s.log.Error("many nodes have been silent for as long as their loss is held back: they are given up", logx.KeyCount, len(held))
		return t.letGo(ctx, held)
	}
	if t.held.Holds(t.heartbeats.Roll(now), t.heartbeats.Window(), now) || t.held.Ease(true) {
		return nil
	}
	t.s.log.Warn("most nodes are back: those that stay silent are given up after another time to live", logx.KeyCount, len(held))
	for _, id := range held {
		t.heartbeats.Watch(id, now)
	}
	return nil
}

// letGo gives nodes up that were held back, and for a while all that follow.
func (t *term) letGo(ctx context.Context, nodeIDs []string) error {
	if err := t.giveUp(ctx, nodeIDs); err != nil {
		return err
	}
	t.held.Open(t.s.cfg.Clock.Now().Add(2 * t.heartbeats.Window()))
	return nil
}

// ReleaseBrake gives up the nodes whose loss is held back, and returns the index.
func (s *Control) ReleaseBrake(ctx context.Context) (*structs.BrakeReleaseResponse, uint64, error) {
	t, err := s.leading()
	if err != nil {
		return nil, 0, err
	}
	resp := &structs.BrakeReleaseResponse{NodeIDs: []string{}}
	for _, n := range heldNodes(s.store.Snapshot()) {
		resp.NodeIDs = append(resp.NodeIDs, n.ID)
	}
	if len(resp.NodeIDs) == 0 {
		return resp, s.store.Snapshot().Index(), nil
	}
	s.log.Warn("a person has silent nodes given up", logx.KeyCount, len(resp.NodeIDs))
	if err := t.letGo(ctx, resp.NodeIDs); err != nil {
		return nil, 0, err
	}
	return resp, s.store.Snapshot().Index(), nil
}

// Brake tells which nodes' loss is held back, and until when.
func (s *Control) Brake() (*structs.BrakeStatus, uint64) {
	snap := s.store.Snapshot()
	cfg := s.cfg.Brake
	out := &structs.BrakeStatus{Percent: cfg.Percent, MinNodes: cfg.MinNodes, Hold: max(0, cfg.Hold), Held: []*structs.BrakeNode{}}
	for n := range snap.Nodes("") {
		if n.Status != structs.NodeStatusDown {
			out.Nodes++
		}
	}
	for _, n := range heldNodes(snap) {
		since := time.Unix(0, n.SilentSince).UTC()
		out.Held = append(out.Held, &structs.BrakeNode{ID: n.ID, Name: n.Name, Datacenter: n.Datacenter, NodePool: n.NodePool, SilentSince: since})
		if out.Since == nil || since.Before(*out.Since) {
			out.Since = &since
		}
	}
	if out.Since != nil && cfg.Hold >= 0 {
		until := out.Since.Add(cfg.Hold)
		out.Until = &until
	}
	out.Summary = brakeSummary(out)
	return out, snap.Index()
}

func brakeSummary(b *structs.BrakeStatus) string {
	switch {
	case len(b.Held) > 0 && b.Until != nil:
		return fmt.Sprintf("%d of %d nodes are silent. Their loss is held back: nothing is moved away from them until %s, unless they return or you release the brake.",
			len(b.Held), b.Nodes, b.Until.Format(time.RFC3339))
	case len(b.Held) > 0:
		return fmt.Sprintf("%d of %d nodes are silent. Their loss is held back: nothing is moved away from them until they return or you release the brake.",
			len(b.Held), b.Nodes)
	case b.Percent >= 100:
		return "The brake is off: silent nodes are given up however many they are."
	case b.Nodes < b.MinNodes:
		return fmt.Sprintf("The brake is off: there are %d nodes, and it is for %d or more.", b.Nodes, b.MinNodes)
	}
	return fmt.Sprintf("The brake is ready: should more than %d%% of the %d nodes fall silent together, their loss is held back.", b.Percent, b.Nodes)
}

func heldNodes(snap *state.Snapshot) []*structs.Node {
	var out []*structs.Node
	for n := range snap.Nodes("") {
		if n.SilentSince != 0 {
			out = append(out, n)
		}
	}
	return out
}
