package state

import (
	"slices"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func (tx *txn) upsertServices(c *command.UpsertServices) (any, error) {
	for _, r := range c.Services {
		if r == nil || r.ID == "" {
			continue
		}
		if v := tx.allocs.Find(r.AllocID); r.AllocID != "" && (!v.Valid() || v.Row().Client.Terminal()) {
			continue // it came too late: the allocation has ended
		}
		next := *r
		next.CreateIndex, next.ModifyIndex = tx.index, tx.index
		var old any
		if existing := tx.services.get(r.Namespace, r.ID, 0); existing != nil {
			next.CreateIndex = existing.CreateIndex
			tx.unlistService(existing)
			old = existing
		}
		tx.services.Set(item[structs.ServiceRegistration]{a: next.Namespace, b: next.ID, v: &next})
		tx.servicesByName.Set(item[structs.ServiceRegistration]{a: next.Namespace, b: next.ServiceName, c: next.ID, v: &next})
		tx.servicesByAlloc.Set(item[structs.ServiceRegistration]{b: next.AllocID, c: next.Namespace + "/" + next.ID, v: &next})
		tx.servicesByNode.Set(item[structs.ServiceRegistration]{b: next.NodeID, c: next.Namespace + "/" + next.ID, v: &next})
		tx.emit(serviceRegistration, old, &next)
	}
	return &Applied{tx.index}, nil
}

func (tx *txn) unlistService(r *structs.ServiceRegistration) {
	tx.servicesByName.Delete(item[structs.ServiceRegistration]{a: r.Namespace, b: r.ServiceName, c: r.ID})
	tx.servicesByAlloc.Delete(item[structs.ServiceRegistration]{b: r.AllocID, c: r.Namespace + "/" + r.ID})
	tx.servicesByNode.Delete(item[structs.ServiceRegistration]{b: r.NodeID, c: r.Namespace + "/" + r.ID})
}

func (tx *txn) removeService(r *structs.ServiceRegistration) {
	tx.services.Delete(item[structs.ServiceRegistration]{a: r.Namespace, b: r.ID})
	tx.unlistService(r)
	tx.emit(serviceDeregistration, r, nil)
}

// dropServicesOf removes the registrations of an allocation that has ended.
func (tx *txn) dropServicesOf(allocID string) {
	if tx.services.Len() == 0 {
		return
	}
	for _, r := range slices.Collect(tx.servicesByAlloc.under("", allocID)) {
		tx.removeService(r)
	}
}

func (tx *txn) deleteServices(c *command.DeleteServices) (any, error) {
	for _, id := range c.IDs {
		if r := tx.services.get(c.Namespace, id, 0); r != nil {
			tx.removeService(r)
		}
	}
	return &Applied{tx.index}, nil
}
