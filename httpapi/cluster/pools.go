package cluster

import (
	"net/http"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/structs"
)

// PoolsList lists node pools.
func PoolsList(c *door.Call, v backend.View) (door.Reply, error) {
	return door.List(c, v, v.NodePools(c.Prefix), door.Listing[*structs.NodePool, *structs.NodePool]{
		Order: door.ByID,
		Key:   func(p *structs.NodePool) door.Key { return door.Key{Last: p.Name} },
		Show:  door.Same[*structs.NodePool],
	})
}

// poolOf finds the pool that the path names.
func poolOf(c *door.Call, v backend.View) (*structs.NodePool, error) {
	if p := v.NodePool(c.Param("name")); p != nil {
		return p, nil
	}
	return nil, structs.ErrNodePoolNotFound
}

// PoolRead reads one node pool.
func PoolRead(c *door.Call, v backend.View) (door.Reply, error) {
	p, err := poolOf(c, v)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Reply{Value: p, Index: p.ModifyIndex}, nil
}

// PoolNodes lists the nodes of a pool.
func PoolNodes(c *door.Call, v backend.View) (door.Reply, error) {
	p, err := poolOf(c, v)
	if err != nil {
		return door.Reply{}, err
	}
	if c.Prefix != "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "prefix argument not allowed")
	}
	return listNodes(c, v, v.NodesByPool(p.Name))
}

// PoolWrite stores a node pool.
func PoolWrite(c *door.Call) (door.Reply, error) {
	var pool structs.NodePool
	if err := c.Decode(&pool); err != nil {
		return door.Reply{}, err
	}
	if name := c.Param("name"); name != "" && pool.Name != name {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Node pool name does not match request path")
	}
	return door.Done(c.Server().UpsertNodePool(c.Ctx(), &pool))
}

// PoolDelete removes a node pool.
func PoolDelete(c *door.Call) (door.Reply, error) {
	return door.Done(c.Server().DeleteNodePool(c.Ctx(), c.Param("name")))
}
