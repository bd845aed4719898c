package api

import (
	"context"
	"strconv"

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

// DrainPlan says what draining a node would do; nothing is stored. Deadline and
// IgnoreSystemJobs are those of a drain.
func (c *Client) DrainPlan(ctx context.Context, nodeID string, spec structs.DrainSpec, q *Query) (*structs.DrainPlan, *Meta, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	params.Params = map[string]string{"deadline": spec.Deadline.String(), "ignore_system_jobs": strconv.FormatBool(spec.IgnoreSystemJobs)}
	return one[structs.DrainPlan](ctx, c, "/v1/steppe/node/"+segment(nodeID)+"/drain-plan", &params)
}

// History reads what was swept or purged, newest first; see HistoryQuery.
func (c *Client) History(ctx context.Context, h HistoryQuery, q *Query) (*structs.HistoryPage, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	params.Params = map[string]string{}
	for name, value := range map[string]string{
		"kind": h.Kind, "job": h.JobID, "since": h.Since, "until": h.Until, "after": h.After,
	} {
		if value != "" {
			params.Params[name] = value
		}
	}
	if h.Objects {
		params.Params["objects"] = "true"
	}
	page, _, err := one[structs.HistoryPage](ctx, c, "/v1/steppe/history", &params)
	return page, err
}

// HistoryQuery says what is asked of the history, beside namespace, prefix of the
// ID and page. Empty fields ask for everything.
type HistoryQuery struct {
	// Kind is structs.HistoryJob and so on, JobID a whole one.
	Kind, JobID string
	// Since and Until are times (RFC 3339), days, or how long ago (36h).
	Since, Until string
	// After is a position of the log, INDEX.NUMBER: only what left the state behind
	// it.
	After string
	// Objects asks for the objects too.
	Objects bool
}

// Capacity counts how many more of a job's allocations fit; nothing is stored.
func (c *Client) Capacity(ctx context.Context, job *structs.Job, q *Query) (*structs.CapacityReport, error) {
	return put[structs.CapacityReport](ctx, c, "/v1/steppe/capacity", q, &structs.CapacityRequest{Job: job})
}
