// Package backend says, as small interfaces, what the public HTTP interface
// asks of the agent behind it: its server, its node, the agent itself, its log.
//
// It must not know HTTP's paths, nor how anything is done. Begin reading at
// Server.
package backend

import (
	"context"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// Server is everything the interface asks of this agent's server: a
// *server.Server, or what a test puts in its place.
type Server interface {
	Control
	Reads
	Jobs
	Cluster
	Settings
}

var _ Server = (*server.Server)(nil)

// Control says who leads and how to reach others.
type Control interface {
	Leadership
	// ForwardTransport carries HTTP requests to the leader's API.
	ForwardTransport() http.RoundTripper
	// NodeTransport carries HTTP requests to a node's own API.
	NodeTransport(nodeID string) (http.RoundTripper, error)
	// Stats are figures for people, by room.
	Stats() map[string]map[string]string
	// Account is what the server's process, log and state take.
	Account(collect bool) (*structs.ServerFigures, error)
}

// Leadership says who leads.
type Leadership interface {
	IsLeader() bool
	// Leading is IsLeader once the leader is ready to act.
	Leading() bool
	// Leader returns the leader's address, if one is known.
	Leader() (addr string, known bool)
	// LeaderContact is how long ago this server heard from the leader.
	LeaderContact() time.Duration
	// ConsistentIndex waits, on the leader, until reads see everything that
	// was acknowledged before the call.
	ConsistentIndex(ctx context.Context) error
}

// Reads gives the state: snapshots of it, and when it changes.
type Reads interface {
	Store() *server.Store
	// History answers from what left the state.
	History(context.Context, server.HistoryQuery) (*structs.HistoryPage, error)
	// SaveState writes the state as it is now into one file.
	SaveState(context.Context) (*server.SavedState, error)
}

// View is the state at one index. What it returns must not be changed.
type View = *server.Snapshot

// Jobs acts on jobs and what follows from them.
type Jobs interface {
	JobWrites
	JobMarks
	JobChecks
	Explanations
	Starts
}

// Starts starts jobs from others, and acts on what jobs started.
type Starts interface {
	JobChildren
	DeploymentWrites
	AllocWrites
}

// JobWrites changes what jobs want.
type JobWrites interface {
	RegisterJob(context.Context, *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error)
	DeregisterJob(context.Context, *server.JobDeregisterRequest) (*structs.JobDeregisterResponse, error)
	EvaluateJob(context.Context, *structs.JobEvaluateRequest) (*structs.JobRegisterResponse, error)
	RevertJob(context.Context, *structs.JobRevertRequest) (*structs.JobRegisterResponse, error)
	ScaleJob(ctx context.Context, jobID string, req *structs.ScalingRequest) (*structs.JobRegisterResponse, error)
}

// JobChildren makes jobs from others.
type JobChildren interface {
	DispatchJob(context.Context, *structs.JobDispatch) (*structs.JobDispatchResponse, error)
	ForcePeriodic(context.Context, *structs.PeriodicForceRequest) (*structs.PeriodicForceResponse, error)
}

// JobMarks marks versions of jobs.
type JobMarks interface {
	SetJobStability(context.Context, *structs.JobStabilityRequest) (*structs.JobStabilityResponse, error)
	TagJobVersion(context.Context, *server.JobTagRequest) (*server.JobTagResponse, error)
}

// JobChecks looks at jobs without storing anything.
type JobChecks interface {
	PlanJob(context.Context, *structs.JobPlanRequest) (*structs.JobPlanResponse, error)
	ValidateJob(context.Context, *structs.JobValidateRequest) (*structs.JobValidateResponse, error)
}

// Explanations says why things are where they are; each with the index of the
// state that it looked at.
type Explanations interface {
	WhyJob(ctx context.Context, namespace, id string) (*structs.JobWhy, uint64, error)
	WhyAlloc(ctx context.Context, id string) (*structs.AllocWhy, uint64, error)
	WhyNot(ctx context.Context, nodeID, namespace, jobID string) (*structs.NodeWhyNot, uint64, error)
	Capacity(context.Context, *structs.CapacityRequest) (*structs.CapacityReport, uint64, error)
	DrainPlan(ctx context.Context, nodeID string, spec structs.DrainSpec) (*structs.DrainPlan, uint64, error)
}

// DeploymentWrites steers deployments.
type DeploymentWrites interface {
	PromoteDeployment(context.Context, *structs.DeploymentPromoteRequest) (*structs.DeploymentUpdateResponse, error)
	FailDeployment(context.Context, *structs.DeploymentFailRequest) (*structs.DeploymentUpdateResponse, error)
	PauseDeployment(context.Context, *structs.DeploymentPauseRequest) (*structs.DeploymentUpdateResponse, error)
	SetAllocHealth(context.Context, *structs.DeploymentAllocHealthRequest) (*structs.DeploymentUpdateResponse, error)
	UnblockDeployment(context.Context, *structs.DeploymentUnblockRequest) (*structs.DeploymentUpdateResponse, error)
}

// AllocWrites steers allocations and what they registered.
type AllocWrites interface {
	StopAlloc(context.Context, *server.AllocStopRequest) (*structs.AllocStopResponse, error)
	DeleteServiceRegistration(ctx context.Context, namespace, name, id string) (uint64, error)
}

// Cluster acts on machines and members.
type Cluster interface {
	NodeWrites
	Membership
	RaftMembers
}

// NodeWrites steers nodes.
type NodeWrites interface {
	EvaluateNode(ctx context.Context, nodeID string) (*server.NodeUpdateResponse, error)
	SetNodeEligibility(context.Context, *structs.NodeUpdateEligibilityRequest) (*structs.NodeEligibilityUpdateResponse, error)
	DrainNode(context.Context, *structs.NodeUpdateDrainRequest) (*structs.NodeDrainUpdateResponse, error)
	PurgeNode(ctx context.Context, nodeID string) (*structs.NodePurgeResponse, error)
}

// Membership is what gossip knows.
type Membership interface {
	Members() []*structs.AgentMember
	Join(addrs []string) (int, error)
	ForceLeave(name string, prune bool) error
	Regions() []string
}

// RaftMembers is who votes.
type RaftMembers interface {
	Peers() ([]string, error)
	RaftConfiguration() (*structs.RaftConfiguration, error)
	RemoveRaftPeer(ctx context.Context, id string) error
	TransferLeadership(ctx context.Context, id, address string) error
}

// Settings acts on what operators set for a region.
type Settings interface {
	GC(context.Context) error
	ReconcileSummaries(context.Context) error
	SetSchedulerConfig(context.Context, *server.SchedulerConfigRequest) (*structs.SchedulerSetConfigurationResponse, error)
	Brake
	Groups
}

// Groups stores what nodes and jobs are grouped by.
type Groups interface {
	Pools
	Namespaces
}

// Brake acts on the loss of many nodes at once.
type Brake interface {
	Brake() (status *structs.BrakeStatus, index uint64)
	ReleaseBrake(context.Context) (released *structs.BrakeReleaseResponse, index uint64, err error)
}

// Pools stores node pools.
type Pools interface {
	UpsertNodePool(context.Context, *structs.NodePool) (uint64, error)
	DeleteNodePool(ctx context.Context, name string) (uint64, error)
}

// Namespaces stores namespaces.
type Namespaces interface {
	UpsertNamespace(context.Context, *structs.Namespace) (uint64, error)
	DeleteNamespace(ctx context.Context, name string) (uint64, error)
}

// Regions reaches other regions.
type Regions interface {
	// RegionTransport carries HTTP requests to some server of a region; it
	// fails if no path is known.
	RegionTransport(region string) (http.RoundTripper, error)
}

// LocalNode is this agent's node.
type LocalNode interface {
	// NodeID is the node's identity.
	NodeID() string
	// HasAlloc reports whether the node keeps an allocation.
	HasAlloc(allocID string) bool
	// Handler answers /v1/client/* for what the node keeps.
	Handler() http.Handler
}

// Agent answers about the agent itself.
type Agent interface {
	// Self describes the agent, secrets left out.
	Self(ctx context.Context) (*structs.AgentSelf, error)
	// Health says whether the agent's parts work.
	Health(ctx context.Context) *structs.AgentHealthResponse
	// Reload reads the configuration again.
	Reload(ctx context.Context) error
	// Servers lists the servers that the agent's node talks to, nil on an
	// agent without a node.
	Servers() []string
	// SetServers replaces that list.
	SetServers(addrs []string) error
}

// Logs is the agent's own log.
type Logs interface {
	// Follow calls line with each line logged from now on at level or above,
	// until ctx ends or line fails. Lines end in a newline.
	Follow(ctx context.Context, opts LogOptions, line func([]byte) error) error
}

// LogOptions says which log lines a reader wants, and how.
type LogOptions struct {
	// Level is TRACE, DEBUG, INFO, WARN or ERROR.
	Level string
	JSON  bool
}
