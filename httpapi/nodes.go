package httpapi

import (
	"cmp"
	"iter"
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// nodesList lists nodes.
func nodesList(c *call, v View) (reply, error) {
	if err := hexPrefix("node", c.prefix); err != nil {
		return reply{}, err
	}
	return listNodes(c, v, v.Nodes(c.prefix))
}

func listNodes(c *call, v View, nodes iter.Seq[*structs.Node]) (reply, error) {
	resources, err := c.flag("resources")
	if err != nil {
		return reply{}, refuse(http.StatusBadRequest, "Failed to parse node list fields: %v", err)
	}
	os, err := c.flag("os")
	if err != nil {
		return reply{}, refuse(http.StatusBadRequest, "Failed to parse node list fields: %v", err)
	}
	return list(c, v, nodes, listing[*structs.Node, *structs.NodeListStub]{
		order: byID,
		key:   func(n *structs.Node) key { return key{last: n.ID} },
		show:  func(n *structs.Node) *structs.NodeListStub { return nodeStub(n, resources, os) },
	})
}

// nodeRead reads one node.
func nodeRead(c *call, v View) (reply, error) {
	if err := recordID("node", c.param("node_id")); err != nil {
		return reply{}, err
	}
	n := v.Node(c.param("node_id"))
	if n == nil {
		return reply{}, structs.ErrNodeNotFound
	}
	return reply{value: wholeNode(n), index: n.ModifyIndex}, nil
}

// nodeAllocations lists the allocations on a node, whole.
func nodeAllocations(c *call, v View) (reply, error) {
	if err := recordID("node", c.param("node_id")); err != nil {
		return reply{}, err
	}
	return reply{value: all(v.AllocsByNode(c.param("node_id")), wholeAlloc), index: c.indexOf(v)}, nil
}

// nodeEvaluate has every job on a node evaluated again.
func nodeEvaluate(c *call) (reply, error) {
	if err := recordID("node", c.param("node_id")); err != nil {
		return reply{}, err
	}
	resp, err := c.api.cfg.Server.EvaluateNode(c.ctx(), c.param("node_id"))
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, cmp.Or(resp.LastIndex, resp.EvalCreateIndex), nil)
}

// ofNode refuses a body that names another node than the path; a body that
// names none means the path's.
func (c *call) ofNode(id *string) error {
	want := c.param("node_id")
	if err := recordID("node", want); err != nil {
		return err
	}
	if *id == "" {
		*id = want
	}
	if *id != want {
		return refuse(http.StatusBadRequest, "Node ID does not match")
	}
	return nil
}

// nodeDrain starts, changes or ends a drain.
func nodeDrain(c *call) (reply, error) {
	var req structs.NodeUpdateDrainRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.ofNode(&req.NodeID); err != nil {
		return reply{}, err
	}
	resp, err := c.api.cfg.Server.DrainNode(c.ctx(), &req)
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, cmp.Or(resp.LastIndex, resp.NodeModifyIndex), nil)
}

// nodeEligibility turns placements on a node on or off.
func nodeEligibility(c *call) (reply, error) {
	var req structs.NodeUpdateEligibilityRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.ofNode(&req.NodeID); err != nil {
		return reply{}, err
	}
	if req.Eligibility != structs.NodeEligible && req.Eligibility != structs.NodeIneligible {
		return reply{}, refuse(http.StatusBadRequest, "Eligibility %q is invalid: use %q or %q", req.Eligibility, structs.NodeEligible, structs.NodeIneligible)
	}
	resp, err := c.api.cfg.Server.SetNodeEligibility(c.ctx(), &req)
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, cmp.Or(resp.LastIndex, resp.NodeModifyIndex), nil)
}

// nodePurge removes a node.
func nodePurge(c *call) (reply, error) {
	if err := recordID("node", c.param("node_id")); err != nil {
		return reply{}, err
	}
	resp, err := c.api.cfg.Server.PurgeNode(c.ctx(), c.param("node_id"))
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, resp.NodeModifyIndex, nil)
}
