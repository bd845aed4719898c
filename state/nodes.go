package state

import (
	"maps"
	"slices"
	"time"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

func (tx *txn) storeNode(kind feed.Kind, n *structs.Node) {
	var old any
	if existing := tx.Node(n.ID); existing != nil {
		old = existing
	}
	n.ModifyIndex = tx.Index
	tx.Nodes.Set(tables.Item[structs.Node]{B: n.ID, V: n})
	tx.emit(kind, old, n)
}

// addNodeEvent adds to a node's last events; n must be a copy.
func (tx *txn) addNodeEvent(n *structs.Node, e *structs.NodeEvent) {
	if e == nil {
		return
	}
	event := *e
	event.CreateIndex = tx.Index
	if event.Timestamp.IsZero() {
		event.Timestamp = time.Unix(0, tx.now).UTC()
	}
	events := slices.Concat(n.Events, []*structs.NodeEvent{&event})
	n.Events = events[max(0, len(events)-structs.MaxNodeEvents):]
}

func (tx *txn) registerNode(c *command.RegisterNode) (any, error) {
	if c.Node == nil || c.Node.ID == "" {
		return nil, structs.NewError(structs.KindInvalid, "a registration needs a node with an ID")
	}
	tx.now = c.Now
	existing := tx.Node(c.Node.ID)
	if existing != nil && existing.SecretID != "" && existing.SecretID != c.Node.SecretID {
		return nil, structs.NewError(structs.KindForbidden, "node secret ID does not match: node %s is registered by another agent", c.Node.ID)
	}
	n := *c.Node
	if n.NodePool == "" {
		n.NodePool = structs.NodePoolDefault
	}
	if err := tx.joinPool(n.NodePool, c.CreatePool); err != nil {
		return nil, err
	}
	if n.Status == "" {
		n.Status = structs.NodeStatusInit
	}
	n.CreateIndex, n.Drain, n.DrainStrategy, n.Events, n.LastDrain = tx.Index, false, nil, nil, nil
	n.StatusUpdatedAt, n.SilentSince = tx.now/int64(time.Second), 0
	n.Losses, n.LostAt, n.QuarantineUntil = 0, 0, 0
	if existing == nil {
		if n.SchedulingEligibility == "" {
			n.SchedulingEligibility = structs.NodeEligible
		}
		tx.addNodeEvent(&n, clusterEvent("Node registered"))
	} else {
		n.CreateIndex, n.SchedulingEligibility = existing.CreateIndex, existing.SchedulingEligibility
		n.Losses, n.LostAt, n.QuarantineUntil = existing.Losses, existing.LostAt, existing.QuarantineUntil
		n.Drain, n.DrainStrategy, n.LastDrain = existing.Drain, existing.DrainStrategy, existing.LastDrain
		n.Events = existing.Events
		if existing.Status == n.Status {
			n.StatusUpdatedAt = existing.StatusUpdatedAt
		}
		if existing.Status == structs.NodeStatusDown && n.Status != structs.NodeStatusDown {
			tx.addNodeEvent(&n, clusterEvent("Node re-registered"))
		}
		tx.addDriverEvents(&n, existing.Drivers)
	}
	tx.storeNode(feed.NodeRegistration, &n)
	tx.storeEvals(c.Evals)
	more := tx.followNodes(c.EvalSeed, c.Evals, nodeChange{old: existing, new: &n})
	return &NodeResult{Index: tx.Index, Created: existing == nil, EvalIDs: more}, nil
}

func clusterEvent(message string) *structs.NodeEvent {
	return &structs.NodeEvent{Message: message, Subsystem: structs.NodeEventCluster}
}

// addDriverEvents tells which drivers of a node fail or work again. What is heard
// of for the first time, as after a start of the agent, is no news.
func (tx *txn) addDriverEvents(n *structs.Node, before map[string]*structs.DriverInfo) {
	for _, name := range slices.Sorted(maps.Keys(n.Drivers)) {
		was, is := before[name], n.Drivers[name]
		if was == nil || is == nil || was.Healthy == is.Healthy {
			continue
		}
		message := "Driver " + name + " is healthy"
		if !is.Healthy {
			message = "Driver " + name + " is unhealthy"
			if is.HealthDescription != "" {
				message += ": " + is.HealthDescription
			}
		}
		tx.addNodeEvent(n, &structs.NodeEvent{
			Message: message, Subsystem: structs.NodeEventDriver, Details: map[string]string{"driver": name},
		})
	}
}

// joinPool sees to it that a node's pool exists.
func (tx *txn) joinPool(name string, create bool) error {
	switch {
	case name == structs.NodePoolAll:
		return structs.NewError(structs.KindInvalid, "node pool %q holds every node already: a node can't ask for it", name)
	case tx.Pools.Find("", name, 0) != nil:
		return nil
	case !create:
		return structs.NewError(structs.KindInvalid, "node pool %q does not exist", name)
	}
	p := &structs.NodePool{Name: name}
	p.Canonicalize()
	tx.storePool(p)
	return nil
}

func (tx *txn) setNodeStatus(c *command.SetNodeStatus) (any, error) {
	tx.now = c.Now
	var changes []nodeChange
	for _, s := range c.Nodes {
		existing := tx.Node(s.NodeID)
		if existing == nil {
			if len(c.Nodes) == 1 {
				return nil, structs.ErrNodeNotFound
			}
			continue
		}
		if s.NodeModifyIndex != 0 && s.NodeModifyIndex != existing.ModifyIndex {
			continue
		}
		n := *existing
		n.Status, n.StatusDescription, n.SilentSince, n.QuarantineUntil = s.Status, s.Description, s.SilentSince, s.QuarantineUntil
		if n.Status != existing.Status {
			n.StatusUpdatedAt = tx.now / int64(time.Second)
		}
		if lost(n.Status) && !lost(existing.Status) {
			tx.countLoss(&n)
		}
		tx.addNodeEvent(&n, s.Event)
		tx.storeNode(feed.NodeEvent, &n)
		changes = append(changes, nodeChange{old: existing, new: &n})
	}
	tx.storeEvals(c.Evals)
	return &NodeResult{Index: tx.Index, EvalIDs: tx.followNodes(c.EvalSeed, c.Evals, changes...)}, nil
}

func lost(status string) bool {
	return status == structs.NodeStatusDown || status == structs.NodeStatusDisconnected
}

// countLoss notes that a node was lost once more, or again for the first time in
// a while.
func (tx *txn) countLoss(n *structs.Node) {
	if tx.now-n.LostAt*int64(time.Second) > int64(structs.LossWindow) {
		n.Losses = 0
	}
	n.Losses++
	n.LostAt = tx.now / int64(time.Second)
}

func (tx *txn) setNodeEligibility(c *command.SetNodeEligibility) (any, error) {
	tx.now = c.Now
	existing := tx.Node(c.NodeID)
	switch {
	case existing == nil:
		return nil, structs.ErrNodeNotFound
	case existing.DrainStrategy != nil && c.Eligibility == structs.NodeEligible:
		return nil, structs.NewError(structs.KindRefused, "can not set node's scheduling eligibility to eligible while it is draining")
	case c.Eligibility != structs.NodeEligible && c.Eligibility != structs.NodeIneligible:
		return nil, structs.NewError(structs.KindInvalid, "invalid scheduling eligibility %q", c.Eligibility)
	}
	n := *existing
	n.SchedulingEligibility = c.Eligibility
	if c.Eligibility == structs.NodeEligible && n.QuarantineUntil != 0 { // a person knows better
		n.Losses, n.LostAt, n.QuarantineUntil, n.StatusDescription = 0, 0, 0, ""
	}
	tx.addNodeEvent(&n, c.Event)
	tx.storeNode(feed.NodeEligibility, &n)
	tx.storeEvals(c.Evals)
	return &NodeResult{Index: tx.Index, EvalIDs: tx.followNodes(c.EvalSeed, c.Evals, nodeChange{old: existing, new: &n})}, nil
}

func (tx *txn) setNodeDrain(c *command.SetNodeDrain) (any, error) {
	tx.now = c.Now
	existing := tx.Node(c.NodeID)
	if existing == nil {
		return nil, structs.ErrNodeNotFound
	}
	if c.NodeModifyIndex != 0 && c.NodeModifyIndex != existing.ModifyIndex {
		return nil, &ConflictError{What: "node " + existing.ID, Want: c.NodeModifyIndex, Have: existing.ModifyIndex}
	}
	n := *existing
	n.LastDrain = tx.drained(existing, c)
	n.Drain, n.DrainStrategy = c.Strategy != nil, c.Strategy
	switch {
	case c.Strategy != nil:
		n.SchedulingEligibility = structs.NodeIneligible
	case c.MarkEligible:
		n.SchedulingEligibility = structs.NodeEligible
	}
	tx.addNodeEvent(&n, c.Event)
	tx.storeNode(feed.NodeDrain, &n)
	tx.storeEvals(c.Evals)
	change := nodeChange{old: existing, new: &n}
	if c.Strategy == nil {
		change.freed = tx.stayAfterAll(n.ID)
	}
	return &NodeResult{Index: tx.Index, EvalIDs: tx.followNodes(c.EvalSeed, c.Evals, change)}, nil
}

// stayAfterAll has what waits for its replacement on a node that drains no more
// wait no longer, and reports whether there was any: a replacement that runs is
// one too many.
func (tx *txn) stayAfterAll(nodeID string) bool {
	var waiting []alloc.View
	for v := range tx.Allocs.ByNode(nodeID) {
		if !v.Row().Terminal() && v.Row().Decision().Transition.Lasts() {
			waiting = append(waiting, v)
		}
	}
	for _, v := range waiting {
		tx.changeRow(v, feed.AllocDesired, func(r *alloc.Row) {
			d := r.Decision()
			d.Transition.Migrate, d.Transition.AfterReplacement, d.Next = nil, nil, ""
			r.Decided = d
		})
	}
	return len(waiting) > 0
}

// drained returns what is known of a node's drain after the command.
func (tx *txn) drained(existing *structs.Node, c *command.SetNodeDrain) *structs.DrainMetadata {
	now := time.Unix(0, tx.now).UTC()
	going := existing.DrainStrategy != nil && existing.LastDrain != nil
	var m structs.DrainMetadata
	switch {
	case going:
		m = *existing.LastDrain
	case c.Strategy == nil:
		return existing.LastDrain
	default:
		m.StartedAt = now
	}
	m.UpdatedAt = now
	if c.Meta != nil {
		m.Meta = c.Meta
	}
	switch {
	case c.Strategy != nil:
		m.Status = structs.DrainStatusDraining
	case c.Complete:
		m.Status = structs.DrainStatusComplete
	default:
		m.Status = structs.DrainStatusCanceled
	}
	return &m
}

func (tx *txn) deleteNodes(c *command.DeleteNodes) (any, error) {
	tx.now = c.Now
	for _, id := range c.NodeIDs {
		if tx.Node(id) == nil {
			return nil, structs.ErrNodeNotFound
		}
	}
	var changes []nodeChange
	for _, id := range c.NodeIDs {
		if n := tx.Node(id); n != nil {
			tx.removeNode(n)
			changes = append(changes, nodeChange{old: n})
		}
	}
	tx.storeEvals(c.Evals)
	return &NodeResult{Index: tx.Index, EvalIDs: tx.followNodes(c.EvalSeed, c.Evals, changes...)}, nil
}

func (tx *txn) removeNode(n *structs.Node) {
	tx.Nodes.Delete(tables.Item[structs.Node]{B: n.ID})
	for _, r := range slices.Collect(tx.ServicesByNode.Under("", n.ID)) {
		tx.removeService(r)
	}
	tx.emit(feed.NodeDeregistration, n, nil)
}
