package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// RegisterNode stores a node's description and tells it its heartbeat TTL.
func (s *Server) RegisterNode(ctx context.Context, node *structs.Node) (uint64, time.Duration, error) {
	t, err := s.leading()
	if err != nil {
		return 0, 0, err
	}
	if err := validateNode(node); err != nil {
		return 0, 0, err
	}
	now := s.cfg.Clock.Now()
	snap := s.store.Snapshot()
	n := node.Clone()
	n.StatusUpdatedAt = now.Unix()
	c := &command.RegisterNode{Node: n, CreatePool: true, Now: now.UnixNano()}
	if old := snap.Node(n.ID); old != nil && needsEvals(old, n) {
		c.Evals = nodeEvals(snap, n.ID, returnTrigger(old), now)
	}
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

// needsEvals reports whether a changed node matters to the jobs that run on it.
func needsEvals(old, n *structs.Node) bool {
	return old.Status != n.Status || old.ComputedClass != n.ComputedClass ||
		old.Datacenter != n.Datacenter || old.NodePool != n.NodePool
}

// returnTrigger is why jobs are evaluated when a node comes (back).
func returnTrigger(old *structs.Node) string {
	if old.Status == structs.NodeStatusDisconnected {
		return structs.TriggerReconnect
	}
	return structs.TriggerNodeUpdate
}

// Heartbeat notes that a node is alive and tells it its next TTL. A node that
// was given up is taken back.
func (s *Server) Heartbeat(ctx context.Context, nodeID string) (time.Duration, error) {
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
			Evals: nodeEvals(snap, nodeID, returnTrigger(node), now),
			Now:   now.UnixNano(),
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

func (t *term) giveUp(ctx context.Context, nodeIDs []string) error {
	now := t.s.cfg.Clock.Now()
	snap := t.s.store.Snapshot()
	c := &command.SetNodeStatus{Now: now.UnixNano()}
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
			Event:  nodeEvent(structs.NodeEventCluster, "Node missed its heartbeat", now),
		})
		collectEvals(snap, wanted, id, structs.TriggerNodeUpdate, now)
	}
	if len(c.Nodes) == 0 {
		return nil
	}
	c.Evals = sorted(wanted)
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

// EvaluateNode has every job with allocations on the node evaluated.
func (s *Server) EvaluateNode(ctx context.Context, nodeID string) (*NodeUpdateResponse, error) {
	snap := s.store.Snapshot()
	node := snap.Node(nodeID)
	if node == nil {
		return nil, structs.ErrNodeNotFound
	}
	now := s.cfg.Clock.Now()
	resp := &NodeUpdateResponse{NodeModifyIndex: node.ModifyIndex}
	evals := nodeEvals(snap, nodeID, structs.TriggerNodeUpdate, now)
	if len(evals) == 0 {
		return resp, nil
	}
	result, err := commit[*state.Applied](ctx, s, &command.UpsertEvals{Evals: evals, Now: now.UnixNano()})
	if err != nil {
		return nil, err
	}
	resp.EvalIDs, resp.EvalCreateIndex, resp.LastIndex = evalIDs(evals), result.Index, result.Index
	return resp, nil
}

// SetNodeEligibility marks a node eligible or ineligible for placements.
func (s *Server) SetNodeEligibility(ctx context.Context, req *structs.NodeUpdateEligibilityRequest) (*structs.NodeEligibilityUpdateResponse, error) {
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
		Now:         now.UnixNano(),
	}
	if req.Eligibility == structs.NodeEligible && node.SchedulingEligibility != structs.NodeEligible {
		c.Evals = nodeEvals(snap, req.NodeID, structs.TriggerNodeUpdate, now)
	}
	result, err := commit[*state.NodeResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	return &structs.NodeEligibilityUpdateResponse{
		NodeModifyIndex: result.Index,
		EvalIDs:         evalIDs(c.Evals),
		EvalCreateIndex: createIndex(c.Evals, result.Index),
		WriteMeta:       structs.WriteMeta{LastIndex: result.Index},
	}, nil
}

// DrainNode starts, changes or ends the drain of a node.
func (s *Server) DrainNode(ctx context.Context, req *structs.NodeUpdateDrainRequest) (*structs.NodeDrainUpdateResponse, error) {
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
		Now:          now.UnixNano(),
	}
	switch {
	case c.Strategy == nil:
		c.Event = nodeEvent(structs.NodeEventDrain, "Node drain ended on request", now)
	case node.DrainStrategy != nil:
		c.Event = nodeEvent(structs.NodeEventDrain, "Node drain strategy updated", now)
	default:
		c.Event = nodeEvent(structs.NodeEventDrain, "Node drain strategy set", now)
	}
	c.Evals = nodeEvals(snap, req.NodeID, structs.TriggerNodeUpdate, now)
	result, err := commit[*state.NodeResult](ctx, s, c)
	if err != nil {
		return nil, err
	}
	return &structs.NodeDrainUpdateResponse{
		NodeModifyIndex: result.Index,
		EvalIDs:         evalIDs(c.Evals),
		EvalCreateIndex: createIndex(c.Evals, result.Index),
		WriteMeta:       structs.WriteMeta{LastIndex: result.Index},
	}, nil
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
func (s *Server) PurgeNode(ctx context.Context, nodeID string) (*structs.NodePurgeResponse, error) {
	snap := s.store.Snapshot()
	if snap.Node(nodeID) == nil {
		return nil, structs.ErrNodeNotFound
	}
	now := s.cfg.Clock.Now()
	c := &command.DeleteNodes{
		NodeIDs: []string{nodeID},
		Evals:   nodeEvals(snap, nodeID, structs.TriggerNodeUpdate, now),
		Now:     now.UnixNano(),
	}
	result, err := s.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	index := indexOf(result)
	return &structs.NodePurgeResponse{
		EvalIDs: evalIDs(c.Evals), EvalCreateIndex: createIndex(c.Evals, index), NodeModifyIndex: index,
	}, nil
}

// nodeEvals makes an evaluation for each job with allocations on a node.
func nodeEvals(snap *state.Snapshot, nodeID, trigger string, now time.Time) []*structs.Evaluation {
	wanted := map[structs.NamespacedID]*structs.Evaluation{}
	collectEvals(snap, wanted, nodeID, trigger, now)
	return sorted(wanted)
}

func collectEvals(snap *state.Snapshot, wanted map[structs.NamespacedID]*structs.Evaluation, nodeID, trigger string, now time.Time) {
	for a := range snap.AllocsByNode(nodeID) {
		key := a.JobNamespacedID()
		if wanted[key] != nil || a.ClientTerminal() {
			continue
		}
		job := snap.Job(a.Namespace, a.JobID)
		if job == nil {
			job = a.Job // purged: what is left of it must be cleared away
		}
		e := newEval(job, trigger, now)
		e.NodeID = nodeID
		if n := snap.Node(nodeID); n != nil {
			e.NodeModifyIndex = n.ModifyIndex
		}
		wanted[key] = e
	}
}

// newEval makes a pending evaluation of a job.
func newEval(job *structs.Job, trigger string, now time.Time) *structs.Evaluation {
	return &structs.Evaluation{
		ID:             ids.New(),
		Namespace:      job.GetNamespace(),
		Priority:       job.GetPriority(),
		Type:           job.GetType(),
		TriggeredBy:    trigger,
		JobID:          job.GetID(),
		JobModifyIndex: job.GetJobModifyIndex(),
		Status:         structs.EvalStatusPending,
		CreateTime:     now.UnixNano(),
		ModifyTime:     now.UnixNano(),
	}
}

func sorted(evals map[structs.NamespacedID]*structs.Evaluation) []*structs.Evaluation {
	var out []*structs.Evaluation
	for _, e := range evals {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *structs.Evaluation) int {
		return slices.Compare([]string{a.Namespace, a.JobID}, []string{b.Namespace, b.JobID})
	})
	return out
}

func evalIDs(evals []*structs.Evaluation) []string {
	out := make([]string, 0, len(evals))
	for _, e := range evals {
		out = append(out, e.ID)
	}
	return out
}

// createIndex is the index at which evaluations were stored, 0 if there are
// none.
func createIndex(evals []*structs.Evaluation, index uint64) uint64 {
	if len(evals) == 0 {
		return 0
	}
	return index
}

func nodeEvent(subsystem, message string, now time.Time) *structs.NodeEvent {
	return &structs.NodeEvent{Message: message, Subsystem: subsystem, Timestamp: now}
}

// indexOf returns the index of any of the store's results.
func indexOf(result any) uint64 {
	switch r := result.(type) {
	case *state.Applied:
		return r.Index
	case *state.NodeResult:
		return r.Index
	case *state.JobResult:
		return r.Index
	case *state.DeploymentResult:
		return r.Index
	case *state.PlanResult:
		return r.Index
	case *state.SweepResult:
		return r.Index
	}
	panic(fmt.Sprintf("result %T has no index", result)) // a new kind of result must be added above
}
