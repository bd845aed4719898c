package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// Nodes lists nodes.
func (c *Client) Nodes(ctx context.Context, q *Query) ([]*structs.NodeListStub, *Meta, error) {
	return list[*structs.NodeListStub](ctx, c, "/v1/nodes", q)
}

// Node reads one node by its full id.
func (c *Client) Node(ctx context.Context, id string, q *Query) (*structs.Node, *Meta, error) {
	return one[structs.Node](ctx, c, "/v1/node/"+segment(id), q)
}

// NodeAllocations lists the allocations of a node.
func (c *Client) NodeAllocations(ctx context.Context, id string, q *Query) ([]*structs.Allocation, *Meta, error) {
	return list[*structs.Allocation](ctx, c, "/v1/node/"+segment(id)+"/allocations", q)
}

// NodeStats reads what a node's machine uses.
func (c *Client) NodeStats(ctx context.Context, id string) (*structs.HostStats, error) {
	out, _, err := one[structs.HostStats](ctx, c, "/v1/client/stats", &Query{Params: map[string]string{"node_id": id}})
	return out, err
}

// NodeMeta reads the metadata of a node, "" for the agent's own.
func (c *Client) NodeMeta(ctx context.Context, id string) (*structs.NodeMetaResponse, error) {
	out, _, err := one[structs.NodeMetaResponse](ctx, c, "/v1/client/metadata", ofNode(id))
	return out, err
}

// ApplyNodeMeta sets metadata of a node, "" for the agent's own; nil unsets a key.
func (c *Client) ApplyNodeMeta(ctx context.Context, id string, meta map[string]*string) (*structs.NodeMetaResponse, error) {
	var out structs.NodeMetaResponse
	_, err := c.send(ctx, http.MethodPost, "/v1/client/metadata", ofNode(id), structs.NodeMetaApplyRequest{NodeID: id, Meta: meta}, &out)
	return &out, err
}

// ofNode asks a node by its id.
func ofNode(id string) *Query {
	if id == "" {
		return nil
	}
	return &Query{Params: map[string]string{"node_id": id}}
}

// SetNodeEligibility opens or closes a node for placements.
func (c *Client) SetNodeEligibility(ctx context.Context, id, eligibility string) (*structs.NodeEligibilityUpdateResponse, error) {
	return put[structs.NodeEligibilityUpdateResponse](ctx, c, "/v1/node/"+segment(id)+"/eligibility", nil,
		&structs.NodeUpdateEligibilityRequest{NodeID: id, Eligibility: eligibility})
}

// DrainNode starts, changes or, with a nil DrainSpec, ends a drain.
func (c *Client) DrainNode(ctx context.Context, req *structs.NodeUpdateDrainRequest) (*structs.NodeDrainUpdateResponse, error) {
	return put[structs.NodeDrainUpdateResponse](ctx, c, "/v1/node/"+segment(req.NodeID)+"/drain", nil, req)
}

// PurgeNode removes a node.
func (c *Client) PurgeNode(ctx context.Context, id string) (*structs.NodePurgeResponse, error) {
	return put[structs.NodePurgeResponse](ctx, c, "/v1/node/"+segment(id)+"/purge", nil, nil)
}

// Allocations lists allocations.
func (c *Client) Allocations(ctx context.Context, q *Query) ([]*structs.AllocationListStub, *Meta, error) {
	return list[*structs.AllocationListStub](ctx, c, "/v1/allocations", q)
}

// Allocation reads one allocation by its full id.
func (c *Client) Allocation(ctx context.Context, id string, q *Query) (*structs.Allocation, *Meta, error) {
	return one[structs.Allocation](ctx, c, "/v1/allocation/"+segment(id), q)
}

// StopAllocation stops an allocation; another one replaces it.
func (c *Client) StopAllocation(ctx context.Context, id string, noShutdownDelay bool, q *Query) (*structs.AllocStopResponse, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	params.Params = map[string]string{"no_shutdown_delay": fmt.Sprint(noShutdownDelay)}
	return put[structs.AllocStopResponse](ctx, c, "/v1/allocation/"+segment(id)+"/stop", &params, nil)
}

// RestartAllocation restarts a task, or all tasks.
func (c *Client) RestartAllocation(ctx context.Context, id string, req structs.AllocationRestartRequest, q *Query) error {
	_, err := c.Put(ctx, "/v1/client/allocation/"+segment(id)+"/restart", q, req, nil)
	return err
}

// SignalAllocation sends a signal to a task, or to all tasks.
func (c *Client) SignalAllocation(ctx context.Context, id, task, signal string, q *Query) error {
	_, err := c.Put(ctx, "/v1/client/allocation/"+segment(id)+"/signal", q, structs.AllocSignalRequest{Task: task, Signal: signal}, nil)
	return err
}

// AllocationStats reads what an allocation uses.
func (c *Client) AllocationStats(ctx context.Context, id string, q *Query) (*structs.AllocResourceUsage, error) {
	out, _, err := one[structs.AllocResourceUsage](ctx, c, "/v1/client/allocation/"+segment(id)+"/stats", q)
	return out, err
}

// AllocationChecks reads the newest results of an allocation's checks by id.
func (c *Client) AllocationChecks(ctx context.Context, id string, q *Query) (map[string]*structs.AllocCheckStatus, error) {
	var out map[string]*structs.AllocCheckStatus
	_, err := c.Get(ctx, "/v1/client/allocation/"+segment(id)+"/checks", q, &out)
	return out, err
}

// Evaluations lists evaluations.
func (c *Client) Evaluations(ctx context.Context, q *Query) ([]*structs.Evaluation, *Meta, error) {
	return list[*structs.Evaluation](ctx, c, "/v1/evaluations", q)
}

// Evaluation reads one evaluation by its full id, with related ones if asked.
func (c *Client) Evaluation(ctx context.Context, id string, related bool, q *Query) (*structs.Evaluation, *Meta, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	if related {
		params.Params = map[string]string{"related": "true"}
	}
	return one[structs.Evaluation](ctx, c, "/v1/evaluation/"+segment(id), &params)
}

// EvaluationAllocations lists the allocations an evaluation made or changed.
func (c *Client) EvaluationAllocations(ctx context.Context, id string, q *Query) ([]*structs.AllocationListStub, *Meta, error) {
	return list[*structs.AllocationListStub](ctx, c, "/v1/evaluation/"+segment(id)+"/allocations", q)
}

// Deployments lists deployments.
func (c *Client) Deployments(ctx context.Context, q *Query) ([]*structs.Deployment, *Meta, error) {
	return list[*structs.Deployment](ctx, c, "/v1/deployments", q)
}

// Deployment reads one deployment by its full id.
func (c *Client) Deployment(ctx context.Context, id string, q *Query) (*structs.Deployment, *Meta, error) {
	return one[structs.Deployment](ctx, c, "/v1/deployment/"+segment(id), q)
}

// DeploymentAllocations lists a deployment's allocations.
func (c *Client) DeploymentAllocations(ctx context.Context, id string, q *Query) ([]*structs.AllocationListStub, *Meta, error) {
	return list[*structs.AllocationListStub](ctx, c, "/v1/deployment/allocations/"+segment(id), q)
}

// PromoteDeployment promotes canaries, of all groups if none is named.
func (c *Client) PromoteDeployment(ctx context.Context, id string, groups []string, q *Query) (*structs.DeploymentUpdateResponse, error) {
	req := &structs.DeploymentPromoteRequest{DeploymentID: id, All: len(groups) == 0, Groups: groups}
	return put[structs.DeploymentUpdateResponse](ctx, c, "/v1/deployment/promote/"+segment(id), q, req)
}

// FailDeployment marks a deployment failed.
func (c *Client) FailDeployment(ctx context.Context, id string, q *Query) (*structs.DeploymentUpdateResponse, error) {
	req := &structs.DeploymentFailRequest{DeploymentID: id}
	return put[structs.DeploymentUpdateResponse](ctx, c, "/v1/deployment/fail/"+segment(id), q, req)
}

// PauseDeployment pauses a deployment, or resumes it.
func (c *Client) PauseDeployment(ctx context.Context, id string, pause bool, q *Query) (*structs.DeploymentUpdateResponse, error) {
	req := &structs.DeploymentPauseRequest{DeploymentID: id, Pause: pause}
	return put[structs.DeploymentUpdateResponse](ctx, c, "/v1/deployment/pause/"+segment(id), q, req)
}

// ParamHealthy is the parameter of Services and Service: "false" asks for
// instances that aren't healthy, too. The API's own default, which other
// clients get, is all of them; this client asks for the healthy ones unless told
// otherwise.
const ParamHealthy = "healthy"

// Services lists service names by namespace.
func (c *Client) Services(ctx context.Context, q *Query) ([]*structs.ServiceRegistrationListStub, *Meta, error) {
	return list[*structs.ServiceRegistrationListStub](ctx, c, "/v1/services", onlyHealthy(q))
}

// Service lists the instances of a service.
func (c *Client) Service(ctx context.Context, name string, q *Query) ([]*structs.ServiceRegistration, *Meta, error) {
	return list[*structs.ServiceRegistration](ctx, c, "/v1/service/"+segment(name), onlyHealthy(q))
}

func onlyHealthy(q *Query) *Query {
	own := Query{}
	if q != nil {
		own = *q
	}
	params := map[string]string{ParamHealthy: "true"}
	maps.Copy(params, own.Params)
	own.Params = params
	return &own
}

// AgentSelf reads the agent's configuration and figures.
func (c *Client) AgentSelf(ctx context.Context) (*structs.AgentSelf, error) {
	out, _, err := one[structs.AgentSelf](ctx, c, "/v1/agent/self", nil)
	return out, err
}

// Members lists the servers that gossip knows.
func (c *Client) Members(ctx context.Context) (*structs.ServerMembers, error) {
	out, _, err := one[structs.ServerMembers](ctx, c, "/v1/agent/members", nil)
	return out, err
}

// Join tells the agent's server to join others; it returns how many it met.
func (c *Client) Join(ctx context.Context, addrs ...string) (int, error) {
	v := c.values(nil)
	for _, a := range addrs {
		v.Add("address", a)
	}
	resp, err := c.call(ctx, http.MethodPut, "/v1/agent/join", v, nil)
	if err != nil {
		return 0, err
	}
	var out struct {
		NumJoined int    `json:"num_joined"`
		Error     string `json:"error"`
	}
	if _, err := finish(resp, &out); err != nil {
		return 0, err
	}
	if out.Error != "" {
		return out.NumJoined, fmt.Errorf("join: %s", out.Error)
	}
	return out.NumJoined, nil
}

// ForceLeave pushes a failed server out.
func (c *Client) ForceLeave(ctx context.Context, name string, prune bool) error {
	q := &Query{Params: map[string]string{"node": name}}
	if prune {
		q.Params["prune"] = "true"
	}
	_, err := c.Put(ctx, "/v1/agent/force-leave", q, nil, nil)
	return err
}

// Leader is the address of the region's leader.
func (c *Client) Leader(ctx context.Context) (string, error) {
	var out string
	_, err := c.Get(ctx, "/v1/status/leader", nil, &out)
	return out, err
}

// Regions lists the known regions.
func (c *Client) Regions(ctx context.Context) ([]string, error) {
	out, _, err := list[string](ctx, c, "/v1/regions", nil)
	return out, err
}

// GC collects everything that may go.
func (c *Client) GC(ctx context.Context) error {
	_, err := c.Put(ctx, "/v1/system/gc", nil, nil, nil)
	return err
}
