// Package cluster answers requests about machines and the cluster as a whole:
// nodes and their pools, agents and members, namespaces, settings, search and
// the stream of events. Each function stands in a row of the table of routes.
//
// It must not know who may ask or which agent has to answer: package door has
// settled that. Begin reading at NodesList.
package cluster

import (
	"cmp"
	"iter"
	"net/http"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/show"
	"github.com/steppe-run/steppe/structs"
)

// NodesList lists nodes.
func NodesList(c *door.Call, v backend.View) (door.Reply, error) {
	if err := door.HexPrefix("node", c.Prefix); err != nil {
		return door.Reply{}, err
	}
	return listNodes(c, v, v.Nodes(c.Prefix))
}

func listNodes(c *door.Call, v backend.View, nodes iter.Seq[*structs.Node]) (door.Reply, error) {
	resources, err := c.Flag("resources")
	if err != nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Failed to parse node list fields: %v", err)
	}
	os, err := c.Flag("os")
	if err != nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Failed to parse node list fields: %v", err)
	}
	return door.List(c, v, nodes, door.Listing[*structs.Node, *structs.NodeListStub]{
		Order: door.ByID,
		Key:   func(n *structs.Node) door.Key { return door.Key{Last: n.ID} },
		Show:  func(n *structs.Node) *structs.NodeListStub { return show.NodeStub(n, resources, os) },
	})
}

// NodeRead reads one node.
func NodeRead(c *door.Call, v backend.View) (door.Reply, error) {
	if err := door.RecordID("node", c.Param("node_id")); err != nil {
		return door.Reply{}, err
	}
	n := v.Node(c.Param("node_id"))
	if n == nil {
		return door.Reply{}, structs.ErrNodeNotFound
	}
	return door.Reply{Value: show.WholeNode(n), Index: n.ModifyIndex}, nil
}

// NodeAllocations lists the allocations on a node, whole.
func NodeAllocations(c *door.Call, v backend.View) (door.Reply, error) {
	if err := door.RecordID("node", c.Param("node_id")); err != nil {
		return door.Reply{}, err
	}
	return door.Reply{Value: door.All(v.AllocsByNode(c.Param("node_id")), show.WholeAlloc), Index: c.IndexOf(v)}, nil
}

// NodeEvaluate has every job on a node evaluated again.
func NodeEvaluate(c *door.Call) (door.Reply, error) {
	if err := door.RecordID("node", c.Param("node_id")); err != nil {
		return door.Reply{}, err
	}
	resp, err := c.Server().EvaluateNode(c.Ctx(), c.Param("node_id"))
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, cmp.Or(resp.LastIndex, resp.EvalCreateIndex), nil)
}

// ofNode refuses a body that names another node than the path; a body that
// names none means the path's.
func ofNode(c *door.Call, id *string) error {
	want := c.Param("node_id")
	if err := door.RecordID("node", want); err != nil {
		return err
	}
	if *id == "" {
		*id = want
	}
	if *id != want {
		return door.Refuse(http.StatusBadRequest, "Node ID does not match")
	}
	return nil
}

// NodeDrain starts, changes or ends a drain.
func NodeDrain(c *door.Call) (door.Reply, error) {
	var req structs.NodeUpdateDrainRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := ofNode(c, &req.NodeID); err != nil {
		return door.Reply{}, err
	}
	resp, err := c.Server().DrainNode(c.Ctx(), &req)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, cmp.Or(resp.LastIndex, resp.NodeModifyIndex), nil)
}

// NodeEligibility turns placements on a node on or off.
func NodeEligibility(c *door.Call) (door.Reply, error) {
	var req structs.NodeUpdateEligibilityRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := ofNode(c, &req.NodeID); err != nil {
		return door.Reply{}, err
	}
	if req.Eligibility != structs.NodeEligible && req.Eligibility != structs.NodeIneligible {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Eligibility %q is invalid: use %q or %q", req.Eligibility, structs.NodeEligible, structs.NodeIneligible)
	}
	resp, err := c.Server().SetNodeEligibility(c.Ctx(), &req)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, cmp.Or(resp.LastIndex, resp.NodeModifyIndex), nil)
}

// NodePurge removes a node.
func NodePurge(c *door.Call) (door.Reply, error) {
	if err := door.RecordID("node", c.Param("node_id")); err != nil {
		return door.Reply{}, err
	}
	resp, err := c.Server().PurgeNode(c.Ctx(), c.Param("node_id"))
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, resp.NodeModifyIndex, nil)
}
