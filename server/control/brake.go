package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/server/heartbeat"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// BrakeConfig says when the loss of many nodes at once is held back. The zero
// value of a field means its default.
type BrakeConfig struct {
	// Percent of the nodes may fall silent together before nothing is moved away
	// from them; 100 for all of them: nothing is ever held back. Default 40.
	Percent int
	// MinNodes is how many nodes there must be for that. Default 20.
	MinNodes int
	// Hold is after how long they are given up all the same, less than 0 for never.
	// Default 10 m.
	Hold time.Duration
}

func (b BrakeConfig) withDefaults() BrakeConfig {
	if b.Percent == 0 {
		b.Percent = 40
	}
	if b.MinNodes == 0 {
		b.MinNodes = 20
	}
	if b.Hold == 0 {
		b.Hold = 10 * time.Minute
	}
	return b
}

// brakeAdvice is what a person can do about nodes that are held back.
const brakeAdvice = "See steppe operator brake status; steppe operator brake release gives them up"

// brake is what a leader remembers of nodes that fell silent together. Which are
// held back is written on the nodes, so that the next leader goes on with it; the
// rest is forgotten with the term.
type brake struct {
	cfg    BrakeConfig
	limits heartbeat.Brake

	mu   sync.Mutex
	held map[string]int64 // node id: since when
	lost []loss           // the latest that were given up
	// open is until when everything is given up, since a person said so.
	open time.Time
	// eased is set once those that are still silent were given another time to live.
	eased bool
}

// loss is how many nodes were given up at a moment.
type loss struct {
	at    time.Time
	nodes int
}

func newBrake(cfg BrakeConfig) *brake {
	return &brake{cfg: cfg, limits: heartbeat.Brake{Percent: cfg.Percent, MinNodes: cfg.MinNodes}, held: map[string]int64{}}
}

// note remembers what the state says of a node.
func (b *brake) note(nodeID string, since int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if since == 0 {
		delete(b.held, nodeID)
		return
	}
	b.held[nodeID] = since
}

// count remembers that nodes were given up.
func (b *brake) count(n int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = append(b.lost, loss{now, n})
}

// holds reports whether nodes that expire now are held back.
func (b *brake) holds(r heartbeat.Roll, window time.Duration, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.open) {
		return false
	}
	b.lost = slices.DeleteFunc(b.lost, func(l loss) bool { return !l.at.After(now.Add(-window)) })
	gone := len(b.held)
	for _, l := range b.lost {
		gone += l.nodes
	}
	return b.limits.Holds(r, gone)
}

// all lists the nodes that are held back.
func (b *brake) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.held))
}

// due is when what is held back is given up all the same, zero for never.
func (b *brake) due() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.held) == 0 || b.cfg.Hold < 0 {
		return time.Time{}
	}
	return time.Unix(0, slices.Min(slices.Collect(maps.Values(b.held)))).Add(b.cfg.Hold)
}

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
				NodeID: id, Status: n.Status, SilentSince: now.UnixNano(),
				Description: "silent, together with many others: nothing is moved away from it yet (see operator brake)",
				Event:       nodeEvent(structs.NodeEventHeartbeat, "Node missed its heartbeat together with many others: its loss is held back", now),
			})
		}
	}
	t.brake.mu.Lock()
	t.brake.eased = false
	first := len(t.brake.held) == 0
	t.brake.mu.Unlock()
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
	held := t.brake.all()
	if len(held) == 0 {
		return nil
	}
	if due := t.brake.due(); !due.IsZero() && !due.After(now) {
		t.s.log.Error("many nodes have been silent for as long as their loss is held back: they are given up", logx.KeyCount, len(held))
		return t.letGo(ctx, held)
	}
	t.brake.mu.Lock()
	eased := t.brake.eased
	t.brake.mu.Unlock()
	if eased || t.brake.holds(t.heartbeats.Roll(now), t.heartbeats.Window(), now) {
		return nil
	}
	t.s.log.Warn("most nodes are back: those that stay silent are given up after another time to live", logx.KeyCount, len(held))
	t.brake.mu.Lock()
	t.brake.eased = true
	t.brake.mu.Unlock()
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
	t.brake.mu.Lock()
	defer t.brake.mu.Unlock()
	t.brake.open = t.s.cfg.Clock.Now().Add(2 * t.heartbeats.Window())
	return nil
}

// ReleaseBrake gives up the nodes whose loss is held back.
func (s *Control) ReleaseBrake(ctx context.Context) (*structs.BrakeReleaseResponse, error) {
	t, err := s.leading()
	if err != nil {
		return nil, err
	}
	resp := &structs.BrakeReleaseResponse{NodeIDs: []string{}}
	for _, n := range heldNodes(s.store.Snapshot()) {
		resp.NodeIDs = append(resp.NodeIDs, n.ID)
	}
	if len(resp.NodeIDs) == 0 {
		return resp, nil
	}
	s.log.Warn("a person has silent nodes given up", logx.KeyCount, len(resp.NodeIDs))
	if err := t.letGo(ctx, resp.NodeIDs); err != nil {
		return nil, err
	}
	resp.LastIndex = s.store.Snapshot().Index()
	return resp, nil
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
