package httpapi

import (
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// poolsList lists node pools.
func poolsList(c *call, v View) (reply, error) {
	return list(c, v, v.NodePools(c.prefix), listing[*structs.NodePool, *structs.NodePool]{
		order: byID,
		key:   func(p *structs.NodePool) key { return key{last: p.Name} },
		show:  same[*structs.NodePool],
	})
}

// poolOf finds the pool that the path names.
func poolOf(c *call, v View) (*structs.NodePool, error) {
	if p := v.NodePool(c.param("name")); p != nil {
		return p, nil
	}
	return nil, structs.ErrNodePoolNotFound
}

// poolRead reads one node pool.
func poolRead(c *call, v View) (reply, error) {
	p, err := poolOf(c, v)
	if err != nil {
		return reply{}, err
	}
	return reply{value: p, index: p.ModifyIndex}, nil
}

// poolNodes lists the nodes of a pool.
func poolNodes(c *call, v View) (reply, error) {
	p, err := poolOf(c, v)
	if err != nil {
		return reply{}, err
	}
	if c.prefix != "" {
		return reply{}, refuse(http.StatusBadRequest, "prefix argument not allowed")
	}
	return listNodes(c, v, v.NodesByPool(p.Name))
}

// poolJobs lists the jobs that use a pool.
func poolJobs(c *call, v View) (reply, error) {
	p, err := poolOf(c, v)
	if err != nil {
		return reply{}, err
	}
	if c.prefix != "" {
		return reply{}, refuse(http.StatusBadRequest, "prefix argument not allowed")
	}
	meta, err := c.flag("meta")
	if err != nil {
		return reply{}, err
	}
	uses := func(j *structs.Job) bool { return j.GetNodePool() == p.Name }
	return listJobs(c, v, where(v.Jobs(c.namespace, ""), uses), meta)
}

// poolWrite stores a node pool.
func poolWrite(c *call) (reply, error) {
	var pool structs.NodePool
	if err := c.decode(&pool); err != nil {
		return reply{}, err
	}
	if name := c.param("name"); name != "" && pool.Name != name {
		return reply{}, refuse(http.StatusBadRequest, "Node pool name does not match request path")
	}
	return done(c.api.cfg.Server.UpsertNodePool(c.ctx(), &pool))
}

// poolDelete removes a node pool.
func poolDelete(c *call) (reply, error) {
	return done(c.api.cfg.Server.DeleteNodePool(c.ctx(), c.param("name")))
}
