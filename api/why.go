package api

import (
	"context"

	"github.com/steppe-run/steppe/structs"
)

// JobWhy says why a job is placed as it is.
func (c *Client) JobWhy(ctx context.Context, id string, q *Query) (*structs.JobWhy, *Meta, error) {
	return one[structs.JobWhy](ctx, c, "/v1/steppe/job/"+segment(id)+"/why", q)
}

// AllocationWhy says why an allocation is on its node.
func (c *Client) AllocationWhy(ctx context.Context, id string, q *Query) (*structs.AllocWhy, *Meta, error) {
	return one[structs.AllocWhy](ctx, c, "/v1/steppe/allocation/"+segment(id)+"/why", q)
}

// NodeWhyNot says what keeps a job off a node, or how well it fits there.
func (c *Client) NodeWhyNot(ctx context.Context, nodeID, jobID string, q *Query) (*structs.NodeWhyNot, *Meta, error) {
	return one[structs.NodeWhyNot](ctx, c, "/v1/steppe/node/"+segment(nodeID)+"/why-not/"+segment(jobID), q)
}

// Capacity counts how many more of a job's allocations fit; nothing is stored.
func (c *Client) Capacity(ctx context.Context, job *structs.Job, q *Query) (*structs.CapacityReport, error) {
	return put[structs.CapacityReport](ctx, c, "/v1/steppe/capacity", q, &structs.CapacityRequest{Job: job})
}
