package state

import (
	"slices"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

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
