package state

import (
	"iter"
	"slices"
	"time"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

// changeRow changes an allocation on behalf of the servers: its node will see
// it. Everything that follows is counted.
func (tx *txn) changeRow(v alloc.View, kind feed.Kind, change func(*alloc.Row)) alloc.View {
	return tx.setRow(v, kind, func(r *alloc.Row) {
		r.ServerModify = tx.Index
		change(r)
	})
}

// setRow changes an allocation and counts everything that follows.
func (tx *txn) setRow(v alloc.View, kind feed.Kind, change func(*alloc.Row)) alloc.View {
	v = tx.Allocs.Get(v.Ref()) // as it is now: this entry may have changed it before
	row := *v.Row()
	ended := out(&row)
	change(&row)
	ended = !ended && out(&row)
	row.Modify = tx.Index
	if tx.now != 0 {
		row.ModifyTime = tx.now
	}
	tx.countAlloc(v, -1)
	next := tx.Allocs.Set(v.Ref(), row)
	tx.countAlloc(next, 1)
	if ended {
		tx.dropServicesOf(next.ID())
	}
	tx.emitAlloc(kind, next)
	return next
}

// out reports whether nobody may be sent to an allocation: it has ended, or its
// node is out of sight. A node that is back registers its services again.
func out(row *alloc.Row) bool { return row.Client.Terminal() || row.Client == alloc.Unknown }

// liveViews collects the allocations that are not terminal, so that they can be
// changed while walking.
func liveViews(views iter.Seq[alloc.View]) []alloc.View {
	var out []alloc.View
	for v := range views {
		if !v.Row().Terminal() {
			out = append(out, v)
		}
	}
	return out
}

func (tx *txn) updateAllocs(c *command.UpdateAllocs) (any, error) {
	tx.now = c.Now
	for _, u := range c.Updates {
		if u == nil {
			continue
		}
		if v := tx.Allocs.Find(u.ID); v.Valid() {
			tx.updateAlloc(v, u)
		}
	}
	tx.storeEvals(c.Evals)
	return &Applied{tx.Index}, nil
}

// updateAlloc stores what a client reports about one allocation.
func (tx *txn) updateAlloc(v alloc.View, u *structs.AllocUpdate) {
	if last := v.Row().Report().Order; u.Order != 0 && u.Order < last {
		return // a later report has come before it
	}
	before := v.Row().Healthy()
	var health *structs.AllocDeploymentStatus
	next := tx.setRow(v, feed.AllocUpdated, func(r *alloc.Row) {
		was := r.Client
		r.Client = nextStatus(was, u.ClientStatus)
		if d := r.Decision(); was == alloc.Unknown && r.Client != was && d.Description == structs.DescAllocUnknown {
			d.Description = "" // it isn't any more
			r.Decided = d
		}
		p := r.Report()
		p.Order = max(p.Order, u.Order)
		if u.ClientDescription != "" {
			p.Description = u.ClientDescription
		}
		if u.TaskStates != nil {
			p.TaskStates = alloc.StatesOf(u.TaskStates)
		}
		if u.NetworkStatus != nil {
			p.Network = u.NetworkStatus
		}
		if s := u.DeploymentStatus; newVerdict(was, before, s) {
			health = &structs.AllocDeploymentStatus{Healthy: s.Healthy, Timestamp: s.Timestamp, ModifyIndex: tx.Index}
			if health.Timestamp.IsZero() {
				health.Timestamp = time.Unix(0, tx.now).UTC()
			}
			p.Health = health
		}
		r.Reported = p
	})
	if health != nil {
		tx.countHealth(next, before, health.Healthy, health.Timestamp)
	}
}

// newVerdict reports whether a report changes what is known of an allocation's
// health. What has ended doesn't become healthy any more, whatever a node
// believes that has forgotten about it.
func newVerdict(was alloc.Client, known *bool, told *structs.AllocDeploymentStatus) bool {
	if !told.HasHealth() || known != nil && *known == *told.Healthy {
		return false
	}
	ended := was == alloc.Complete || was == alloc.Failed
	return !ended || !*told.Healthy
}

// nextStatus is the client status after a report. What has ended stays so; only
// the servers decide that an allocation is lost or unknown, and only its client
// can tell that it is back.
func nextStatus(now alloc.Client, reported string) alloc.Client {
	next, ok := alloc.ParseClient(reported)
	if !ok || now == alloc.Complete || now == alloc.Failed || next == alloc.Lost || next == alloc.Unknown {
		return now
	}
	return next
}

func (tx *txn) transitionAllocs(c *command.TransitionAllocs) (any, error) {
	tx.now = c.Now
	for _, t := range c.Transitions {
		v := tx.Allocs.Find(t.AllocID)
		if !v.Valid() || structs.Value(t.Transition.AfterReplacement) && !tx.mayWait(v) {
			continue
		}
		tx.changeRow(v, feed.AllocDesired, func(r *alloc.Row) {
			d := r.Decision()
			mergeTransition(&d.Transition, t.Transition)
			r.Decided = d
		})
	}
	tx.storeEvals(c.Evals)
	return &Applied{tx.Index}, nil
}

// mayWait reports whether an allocation can be told to wait for its replacement: its
// node drains still, and nobody has told it to go at once.
func (tx *txn) mayWait(v alloc.View) bool {
	n := tx.Node(v.Row().Node.ID)
	return n != nil && n.DrainStrategy != nil && !structs.Value(v.Row().Decision().Transition.Migrate)
}

// mergeTransition takes over what is set.
func mergeTransition(into *structs.DesiredTransition, t structs.DesiredTransition) {
	for _, p := range []struct{ into, from **bool }{
		{&into.Migrate, &t.Migrate},
		{&into.Reschedule, &t.Reschedule},
		{&into.ForceReschedule, &t.ForceReschedule},
		{&into.NoShutdownDelay, &t.NoShutdownDelay},
		{&into.MigrateDisablePlacement, &t.MigrateDisablePlacement},
		{&into.AfterReplacement, &t.AfterReplacement},
	} {
		if *p.from != nil {
			*p.into = *p.from
		}
	}
}

func (tx *txn) upsertServices(c *command.UpsertServices) (any, error) {
	for _, r := range c.Services {
		if r == nil || r.ID == "" {
			continue
		}
		if v := tx.Allocs.Find(r.AllocID); r.AllocID != "" && (!v.Valid() || v.Row().Client.Terminal()) {
			continue // it came too late: the allocation has ended
		}
		next := *r
		next.CreateIndex, next.ModifyIndex = tx.Index, tx.Index
		var old any
		if existing := tx.Services.Find(r.Namespace, r.ID, 0); existing != nil {
			next.CreateIndex = existing.CreateIndex
			if next.Health == structs.CheckStatusPending {
				next.Health = existing.Health // an agent that has begun anew knows nothing better
			}
			tx.unlistService(existing)
			old = existing
		}
		tx.Services.Set(tables.Item[structs.ServiceRegistration]{A: next.Namespace, B: next.ID, V: &next})
		tx.ServicesByName.Set(tables.Item[structs.ServiceRegistration]{A: next.Namespace, B: next.ServiceName, C: next.ID, V: &next})
		tx.ServicesByAlloc.Set(tables.Item[structs.ServiceRegistration]{B: next.AllocID, C: next.Namespace + "/" + next.ID, V: &next})
		tx.ServicesByNode.Set(tables.Item[structs.ServiceRegistration]{B: next.NodeID, C: next.Namespace + "/" + next.ID, V: &next})
		tx.emit(feed.ServiceRegistration, old, &next)
	}
	return &Applied{tx.Index}, nil
}

func (tx *txn) unlistService(r *structs.ServiceRegistration) {
	tx.ServicesByName.Delete(tables.Item[structs.ServiceRegistration]{A: r.Namespace, B: r.ServiceName, C: r.ID})
	tx.ServicesByAlloc.Delete(tables.Item[structs.ServiceRegistration]{B: r.AllocID, C: r.Namespace + "/" + r.ID})
	tx.ServicesByNode.Delete(tables.Item[structs.ServiceRegistration]{B: r.NodeID, C: r.Namespace + "/" + r.ID})
}

func (tx *txn) removeService(r *structs.ServiceRegistration) {
	tx.Services.Delete(tables.Item[structs.ServiceRegistration]{A: r.Namespace, B: r.ID})
	tx.unlistService(r)
	tx.emit(feed.ServiceDeregistration, r, nil)
}

// dropServicesOf removes the registrations of an allocation that has ended.
func (tx *txn) dropServicesOf(allocID string) {
	if tx.Services.Len() == 0 {
		return
	}
	for _, r := range slices.Collect(tx.ServicesByAlloc.Under("", allocID)) {
		tx.removeService(r)
	}
}

func (tx *txn) deleteServices(c *command.DeleteServices) (any, error) {
	for _, id := range c.IDs {
		if r := tx.Services.Find(c.Namespace, id, 0); r != nil {
			tx.removeService(r)
		}
	}
	return &Applied{tx.Index}, nil
}
