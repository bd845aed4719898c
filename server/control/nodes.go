package control

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/server/admission"
	"github.com/steppe-run/steppe/server/evals"
	"github.com/steppe-run/steppe/server/rehearse"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// RegisterNode stores a node's description and tells it its heartbeat TTL.
func (s *Control) RegisterNode(ctx context.Context, node *structs.Node) (uint64, time.Duration, error) {
	t, err := s.leading()
	if err != nil {
		return 0, 0, err
	}
	if err := validateNode(node); err != nil {
		return 0, 0, err
	}
	now := s.cfg.Clock.Now()
	n := node.Clone()
	n.StatusUpdatedAt = now.Unix()
	n.ComputedClass = admission.ComputedClass(n)
	c := &command.RegisterNode{Node: n, CreatePool: true, EvalSeed: s.cfg.NewID(), Now: now.UnixNano()}
	result, err := commit[*state.NodeResult](ctx, s, c)
	if err != nil {
		return 0, 0, err
	}
	return result.Index, t.beat(n.ID), nil
}

// validateNode refuses a description that nothing could be placed on.
func validateNode(n *structs.Node) error {
	switch {
	case n == nil:
		return structs.NewError(structs.KindInvalid, "a node registration must hold a node")
	case !ids.Valid(n.ID):
		return structs.NewError(structs.KindInvalid, "a node needs an ID in the form of a UUID")
	case n.Datacenter == "":
		return structs.NewError(structs.KindInvalid, "a node needs a datacenter")
	case n.Name == "":
		return structs.NewError(structs.KindInvalid, "a node needs a name")
	case n.NodePool == structs.NodePoolAll:
		return structs.NewError(structs.KindInvalid, "a node can't be in the pool %q: every node is in it anyway", structs.NodePoolAll)
	}
	return nil
}

// EvaluateNode has every job evaluated that has allocations on the node or should
// have.
func (s *Control) EvaluateNode(ctx context.Context, nodeID string) (*NodeUpdateResponse, error) {
	snap := s.store.Snapshot()
	node := snap.Node(nodeID)
	if node == nil {
		return nil, structs.ErrNodeNotFound
	}
	now := s.cfg.Clock.Now()
	resp := &NodeUpdateResponse{NodeModifyIndex: node.ModifyIndex}
	due := s.evals.ForNode(snap, node, structs.TriggerNodeUpdate, now)
	if len(due) == 0 {
		return resp, nil
	}
	result, err := commit[*state.Applied](ctx, s, &command.UpsertEvals{Evals: due, Now: now.UnixNano()})
	if err != nil {
		return nil, err
	}
	resp.EvalIDs, resp.EvalCreateIndex, resp.LastIndex = evals.IDs(due), result.Index, result.Index
	return resp, nil
}

// SetNodeEligibility marks a node eligible or ineligible for placements.
func (s *Control) SetNodeEligibility(ctx context.Context, req *structs.NodeUpdateEligibilityRequest) (*structs.NodeEligibilityUpdateResponse, error) {
	if req.Eligibility != structs.NodeEligible && req.Eligibility != structs.NodeIneligible {
		return nil, structs.NewError(structs.KindInvalid, "eligibility %q is unknown: use %s or %s",
			req.Eligibility, structs.NodeEligible, structs.NodeIneligible)
	}
	snap := s.store.Snapshot()
	node := snap.Node(req.NodeID)
	switch {
	case node == nil:
		return nil, structs.ErrNodeNotFound
	case node.DrainStrategy != nil && req.Eligibility == structs.NodeEligible:
		return nil, structs.NewError(structs.KindRefused, "a draining node can't be made eligible: end its drain first")
	}
	now := s.cfg.Clock.Now()
	c := &command.SetNodeEligibility{
		NodeID:      req.NodeID,
		Eligibility: req.Eligibility,
		Event:       nodeEvent(structs.NodeEventCluster, "Node marked as "+req.Eligibility+" for scheduling", now),
		EvalSeed:    s.cfg.NewID(),
		Now:         now.UnixNano(),
	}
	result, err := commit[*state.NodeResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	return &structs.NodeEligibilityUpdateResponse{
		NodeModifyIndex: result.Index,
		EvalIDs:         result.EvalIDs,
		EvalCreateIndex: evals.CreateIndex(len(result.EvalIDs), result.Index),
		WriteMeta:       structs.WriteMeta{LastIndex: result.Index},
	}, nil
}

// DrainNode starts, changes or ends the drain of a node.
func (s *Control) DrainNode(ctx context.Context, req *structs.NodeUpdateDrainRequest) (*structs.NodeDrainUpdateResponse, error) {
	snap := s.store.Snapshot()
	node := snap.Node(req.NodeID)
	if node == nil {
		return nil, structs.ErrNodeNotFound
	}
	if req.DrainSpec != nil && req.MarkEligible {
		return nil, structs.NewError(structs.KindInvalid, "a node can't be drained and marked eligible at once")
	}
	now := s.cfg.Clock.Now()
	c := &command.SetNodeDrain{
		NodeID:       req.NodeID,
		Strategy:     strategyOf(req.DrainSpec, node, now),
		MarkEligible: req.MarkEligible,
		Meta:         req.Meta,
		EvalSeed:     s.cfg.NewID(),
		Now:          now.UnixNano(),
	}
	switch {
	case c.Strategy == nil && node.DrainStrategy == nil: // nothing ends
	case c.Strategy == nil:
		c.Event = nodeEvent(structs.NodeEventDrain, "Node drain ended on request", now)
	case node.DrainStrategy != nil:
		c.Event = nodeEvent(structs.NodeEventDrain, "Node drain strategy updated", now)
	default:
		c.Event = nodeEvent(structs.NodeEventDrain, "Node drain strategy set", now)
	}
	result, err := commit[*state.NodeResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	return &structs.NodeDrainUpdateResponse{
		NodeModifyIndex: result.Index,
		EvalIDs:         result.EvalIDs,
		EvalCreateIndex: evals.CreateIndex(len(result.EvalIDs), result.Index),
		WriteMeta:       structs.WriteMeta{LastIndex: result.Index},
	}, nil
}

// DrainPlan tells what draining a node would do; nothing is stored.
func (s *Control) DrainPlan(ctx context.Context, nodeID string, spec structs.DrainSpec) (plan *structs.DrainPlan, index uint64, err error) {
	there := func(on rehearse.Seat) []*structs.Job { return rehearse.On(on, nodeID) }
	err = s.desk.UseForAll(ctx, there, func(on rehearse.Seat) (err error) {
		node := on.Snap.Node(nodeID)
		if node == nil {
			return structs.ErrNodeNotFound
		}
		index = on.Snap.Index()
		plan, err = rehearse.Drain(on, s.cfg.Clock.Now(), node, spec)
		return err
	})
	return plan, index, err
}

// strategyOf turns what a user asks for into a strategy with a fixed deadline.
func strategyOf(spec *structs.DrainSpec, node *structs.Node, now time.Time) *structs.DrainStrategy {
	if spec == nil {
		return nil
	}
	out := &structs.DrainStrategy{DrainSpec: *spec, StartedAt: now}
	if node.DrainStrategy != nil {
		out.StartedAt = node.DrainStrategy.StartedAt
	}
	if spec.Deadline > 0 {
		out.ForceDeadline = now.Add(spec.Deadline)
	}
	return out
}

// PurgeNode removes a node; its work is replaced.
func (s *Control) PurgeNode(ctx context.Context, nodeID string) (*structs.NodePurgeResponse, error) {
	snap := s.store.Snapshot()
	if snap.Node(nodeID) == nil {
		return nil, structs.ErrNodeNotFound
	}
	now := s.cfg.Clock.Now()
	c := &command.DeleteNodes{
		NodeIDs:  []string{nodeID},
		EvalSeed: s.cfg.NewID(),
		Now:      now.UnixNano(),
	}
	result, err := commit[*state.NodeResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	return &structs.NodePurgeResponse{
		EvalIDs: result.EvalIDs, EvalCreateIndex: evals.CreateIndex(len(result.EvalIDs), result.Index), NodeModifyIndex: result.Index,
	}, nil
}
