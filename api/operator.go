package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/structs"
)

// AgentHealth says whether the agent's parts work. A sick agent is no error:
// the answer tells which part is sick.
func (c *Client) AgentHealth(ctx context.Context) (*structs.AgentHealthResponse, error) {
	out := &structs.AgentHealthResponse{}
	_, err := c.Get(ctx, "/v1/agent/health", nil, out)
	var refused *StatusError
	if errors.As(err, &refused) && json.Unmarshal([]byte(refused.Body), out) == nil {
		return out, nil
	}
	return out, err
}

// ReloadAgent has the agent read its configuration again.
func (c *Client) ReloadAgent(ctx context.Context) error {
	_, err := c.Put(ctx, "/v1/agent/reload", nil, nil, nil)
	return err
}

// AgentServers lists the servers that the agent's node talks to.
func (c *Client) AgentServers(ctx context.Context) ([]string, error) {
	out, _, err := list[string](ctx, c, "/v1/agent/servers", nil)
	return out, err
}

// MonitorOptions says which lines of an agent's log are wanted.
type MonitorOptions struct {
	// Level is trace, debug, info, warn or error; empty means info.
	Level string
	// JSON asks for one JSON object a line.
	JSON bool
}

// Monitor calls each with the agent's log lines as they are written, until ctx
// ends or each fails.
func (c *Client) Monitor(ctx context.Context, o MonitorOptions, each func(*structs.StreamFrame) error) error {
	params := map[string]string{"log_json": fmt.Sprint(o.JSON)}
	if o.Level != "" {
		params["log_level"] = o.Level
	}
	return c.frames(ctx, "/v1/agent/monitor", &Query{Params: params}, each)
}

// Figures tells what the asked server takes: process, log and state. With
// collect it collects its garbage first, so that its heap counts only what is
// in use.
func (c *Client) Figures(ctx context.Context, collect bool) (*structs.ServerFigures, error) {
	out := &structs.ServerFigures{}
	var err error
	if collect {
		_, err = c.Put(ctx, "/v1/steppe/figures", nil, nil, out)
	} else {
		_, err = c.Get(ctx, "/v1/steppe/figures", nil, out)
	}
	return out, err
}

// Brake tells which nodes' loss is held back since too many are silent at once.
func (c *Client) Brake(ctx context.Context, q *Query) (*structs.BrakeStatus, error) {
	out := &structs.BrakeStatus{}
	_, err := c.Get(ctx, "/v1/steppe/brake", q, out)
	return out, err
}

// ReleaseBrake gives up the nodes whose loss is held back.
func (c *Client) ReleaseBrake(ctx context.Context) (*structs.BrakeReleaseResponse, error) {
	out := &structs.BrakeReleaseResponse{}
	_, err := c.Put(ctx, "/v1/steppe/brake/release", nil, nil, out)
	return out, err
}

// Peers lists the addresses of the servers that vote.
func (c *Client) Peers(ctx context.Context) ([]string, error) {
	out, _, err := list[string](ctx, c, "/v1/status/peers", nil)
	return out, err
}

// RaftConfiguration describes the servers that vote.
func (c *Client) RaftConfiguration(ctx context.Context, q *Query) (*structs.RaftConfiguration, error) {
	out, _, err := one[structs.RaftConfiguration](ctx, c, "/v1/operator/raft/configuration", q)
	return out, err
}

// RemoveRaftPeer removes a server from those that vote.
func (c *Client) RemoveRaftPeer(ctx context.Context, id string) error {
	_, err := c.Delete(ctx, "/v1/operator/raft/peer", &Query{Params: map[string]string{"id": id}}, nil)
	return err
}

// TransferLeadership hands leadership to the server with an id.
func (c *Client) TransferLeadership(ctx context.Context, id string) error {
	_, err := c.Put(ctx, "/v1/operator/raft/transfer-leadership", &Query{Params: map[string]string{"id": id}}, nil, nil)
	return err
}

// SchedulerConfig reads the scheduler's configuration.
func (c *Client) SchedulerConfig(ctx context.Context, q *Query) (*structs.SchedulerConfiguration, *Meta, error) {
	out, meta, err := one[structs.SchedulerConfigurationResponse](ctx, c, "/v1/operator/scheduler/configuration", q)
	if err != nil {
		return nil, nil, err
	}
	return out.SchedulerConfig, meta, nil
}

// SetSchedulerConfig replaces the scheduler's configuration; with cas only if
// its modify index is still that. It reports whether it did.
func (c *Client) SetSchedulerConfig(ctx context.Context, cfg *structs.SchedulerConfiguration, cas *uint64) (bool, error) {
	q := &Query{}
	if cas != nil {
		q.Params = map[string]string{"cas": fmt.Sprint(*cas)}
	}
	out, err := put[structs.SchedulerSetConfigurationResponse](ctx, c, "/v1/operator/scheduler/configuration", q, cfg)
	if err != nil {
		return false, err
	}
	return out.Updated, nil
}

// NodePool reads a node pool.
func (c *Client) NodePool(ctx context.Context, name string, q *Query) (*structs.NodePool, *Meta, error) {
	return one[structs.NodePool](ctx, c, "/v1/node/pool/"+segment(name), q)
}

// NodePoolNodes lists the nodes of a pool.
func (c *Client) NodePoolNodes(ctx context.Context, name string, q *Query) ([]*structs.NodeListStub, *Meta, error) {
	return list[*structs.NodeListStub](ctx, c, "/v1/node/pool/"+segment(name)+"/nodes", q)
}

// NodePoolJobs lists the jobs that ask for a pool.
func (c *Client) NodePoolJobs(ctx context.Context, name string, q *Query) ([]*structs.JobListStub, *Meta, error) {
	return list[*structs.JobListStub](ctx, c, "/v1/node/pool/"+segment(name)+"/jobs", q)
}

// SetNodePool makes or changes a node pool.
func (c *Client) SetNodePool(ctx context.Context, pool *structs.NodePool) error {
	_, err := c.Put(ctx, "/v1/node/pools", nil, pool, nil)
	return err
}

// DeleteNodePool removes a node pool that nothing uses.
func (c *Client) DeleteNodePool(ctx context.Context, name string) error {
	_, err := c.Delete(ctx, "/v1/node/pool/"+segment(name), nil, nil)
	return err
}

// NodePools lists node pools.
func (c *Client) NodePools(ctx context.Context, q *Query) ([]*structs.NodePool, *Meta, error) {
	return list[*structs.NodePool](ctx, c, "/v1/node/pools", q)
}

// Namespaces lists namespaces.
func (c *Client) Namespaces(ctx context.Context, q *Query) ([]*structs.Namespace, *Meta, error) {
	return list[*structs.Namespace](ctx, c, "/v1/namespaces", q)
}

// Search finds objects of any kind by the beginning of their ID.
func (c *Client) Search(ctx context.Context, req *structs.SearchRequest, q *Query) (*structs.SearchResponse, error) {
	return put[structs.SearchResponse](ctx, c, "/v1/search", q, req)
}

// FuzzySearch finds objects by a part of their name.
func (c *Client) FuzzySearch(ctx context.Context, req *structs.FuzzySearchRequest, q *Query) (*structs.FuzzySearchResponse, error) {
	return put[structs.FuzzySearchResponse](ctx, c, "/v1/search/fuzzy", q, req)
}

// ParseJob turns the text of a job file into a job, on the agent.
func (c *Client) ParseJob(ctx context.Context, req *structs.JobsParseRequest) (*structs.Job, error) {
	return put[structs.Job](ctx, c, "/v1/jobs/parse", nil, req)
}

// MarkJobStable marks a version of a job stable, or not.
func (c *Client) MarkJobStable(ctx context.Context, id string, version uint64, stable bool, q *Query) error {
	_, err := c.Put(ctx, jobPath(id, "stable"), q, &structs.JobStabilityRequest{JobID: id, JobVersion: version, Stable: stable}, nil)
	return err
}

// TagJobVersion names a version of a job.
func (c *Client) TagJobVersion(ctx context.Context, id, name string, req *structs.TagVersionRequest, q *Query) error {
	_, err := c.Put(ctx, jobPath(id, "versions")+"/"+segment(name)+"/tag", q, req, nil)
	return err
}

// UntagJobVersion takes the name of a version away.
func (c *Client) UntagJobVersion(ctx context.Context, id, name string, q *Query) error {
	_, err := c.Delete(ctx, jobPath(id, "versions")+"/"+segment(name)+"/tag", q, nil)
	return err
}

// SetAllocHealth sets the health of a deployment's allocations by hand.
func (c *Client) SetAllocHealth(ctx context.Context, id string, healthy, unhealthy []string, q *Query) (*structs.DeploymentUpdateResponse, error) {
	req := &structs.DeploymentAllocHealthRequest{DeploymentID: id, HealthyAllocationIDs: healthy, UnhealthyAllocationIDs: unhealthy}
	return put[structs.DeploymentUpdateResponse](ctx, c, "/v1/deployment/allocation-health/"+segment(id), q, req)
}

// GCNode removes every finished allocation from a node; an empty id means the
// agent's own.
func (c *Client) GCNode(ctx context.Context, id string) error {
	q := &Query{}
	if id != "" {
		q.Params = map[string]string{"node_id": id}
	}
	_, err := c.Get(ctx, "/v1/client/gc", q, nil)
	return err
}
