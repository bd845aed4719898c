package state

import (
	"fmt"
	"strings"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

func (tx *txn) setSchedulerConfig(c *command.SetSchedulerConfig) (any, error) {
	have := tx.SchedulerConfig.ModifyIndex
	if c.CAS && have != c.CASIndex {
		return nil, &ConflictError{What: "scheduler configuration", Want: c.CASIndex, Have: have}
	}
	if c.Config == nil {
		return nil, structs.NewError(structs.KindInvalid, "a scheduler configuration is needed")
	}
	next := *c.Config
	next.CreateIndex, next.ModifyIndex = tx.SchedulerConfig.CreateIndex, tx.Index
	if next.CreateIndex == 0 {
		next.CreateIndex = tx.Index
	}
	if next.SchedulerAlgorithm == "" {
		next.SchedulerAlgorithm = structs.SchedulerBinPack
	}
	tx.SchedulerConfig = &next
	tx.touch(feed.TableSchedulerConfig)
	return &Applied{tx.Index}, nil
}

func (tx *txn) storePool(p *structs.NodePool) {
	var old any
	p.CreateIndex, p.ModifyIndex = tx.Index, tx.Index
	if existing := tx.Pools.Find("", p.Name, 0); existing != nil {
		old, p.CreateIndex = existing, existing.CreateIndex
	}
	tx.Pools.Set(tables.Item[structs.NodePool]{B: p.Name, V: p})
	tx.emit(feed.PoolUpserted, old, p)
}

func (tx *txn) upsertNodePools(c *command.UpsertNodePools) (any, error) {
	for _, p := range present(c.Pools) {
		if p.BuiltIn() || p.Name == "" {
			return nil, structs.NewError(structs.KindRefused, "modifying node pool %q is not allowed", p.Name)
		}
		next := *p
		tx.storePool(&next)
	}
	return &Applied{tx.Index}, nil
}

func (tx *txn) deleteNodePools(c *command.DeleteNodePools) (any, error) {
	for _, name := range c.Names {
		p := tx.Pools.Find("", name, 0)
		switch {
		case name == structs.NodePoolAll || name == structs.NodePoolDefault:
			return nil, structs.NewError(structs.KindRefused, "deleting node pool %q is not allowed", name)
		case p == nil:
			return nil, structs.ErrNodePoolNotFound
		}
		if err := tx.poolUnused(name); err != nil {
			return nil, err
		}
		tx.Pools.Delete(tables.Item[structs.NodePool]{B: name})
		tx.emit(feed.PoolDeleted, p, nil)
	}
	return &Applied{tx.Index}, nil
}

// poolUnused returns an error that names all that uses a pool.
func (tx *txn) poolUnused(name string) error {
	var faults []string
	for n := range tx.Nodes.Values() {
		if n.NodePool == name {
			faults = append(faults, fmt.Sprintf("it has nodes, %s among them: purge or move them first", n.ID))
			break
		}
	}
	for j := range tx.Jobs.Values() {
		if j.GetNodePool() == name && j.GetStatus() != structs.JobStatusDead {
			faults = append(faults, fmt.Sprintf("it has jobs, %s among them: stop them first", j.GetID()))
			break
		}
	}
	if faults == nil {
		return nil
	}
	return structs.NewError(structs.KindRefused, "node pool %q is in use: %s", name, strings.Join(faults, "; "))
}

func (tx *txn) upsertNamespaces(c *command.UpsertNamespaces) (any, error) {
	for _, n := range present(c.Namespaces) {
		if n.Name == "" || n.Name == structs.AllNamespaces {
			return nil, structs.NewError(structs.KindInvalid, "invalid namespace name %q", n.Name)
		}
		next := *n
		next.CreateIndex, next.ModifyIndex = tx.Index, tx.Index
		if existing := tx.Namespaces.Find("", n.Name, 0); existing != nil {
			next.CreateIndex = existing.CreateIndex
		}
		tx.Namespaces.Set(tables.Item[structs.Namespace]{B: n.Name, V: &next})
		tx.touch(feed.TableNamespaces)
	}
	return &Applied{tx.Index}, nil
}

func (tx *txn) deleteNamespaces(c *command.DeleteNamespaces) (any, error) {
	for _, name := range c.Names {
		switch {
		case name == structs.DefaultNamespace:
			return nil, structs.NewError(structs.KindRefused, "default namespace can not be deleted")
		case tx.Namespaces.Find("", name, 0) == nil:
			return nil, structs.ErrNamespaceNotFound
		}
		for j := range tx.Jobs.Prefixed(name, "") {
			if j.GetStatus() != structs.JobStatusDead {
				return nil, structs.NewError(structs.KindRefused, "namespace %q has non-terminal jobs, %q among them: stop them first", name, j.GetID())
			}
		}
		tx.Namespaces.Delete(tables.Item[structs.Namespace]{B: name})
		tx.touch(feed.TableNamespaces)
	}
	return &Applied{tx.Index}, nil
}
