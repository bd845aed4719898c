// Package command is the vocabulary of the replicated log: one user action is
// one command, with all its effects. Time, identifiers and random bits are
// decided before a command is proposed; applying it is deterministic.
//
// It must not know how commands are stored, sent or applied. Begin reading at
// Command.
package command

import "github.com/steppe-run/steppe/structs"

// Command is one entry of the replicated log.
type Command interface{ isCommand() }

// RegisterJob stores a job, a new version of it if its specification changed,
// and the evaluation that will place it.
type RegisterJob struct {
	Job        *structs.Job
	Submission *structs.JobSubmission
	// EnforceIndex refuses the command unless the job's modify index is
	// JobModifyIndex (0: the job must not exist).
	EnforceIndex   bool
	JobModifyIndex uint64
	// PreserveCounts and PreserveResources keep what groups and tasks of a
	// running job have now.
	PreserveCounts    bool
	PreserveResources bool `codec:",omitempty"`
	// Eval may be nil (periodic and parameterized jobs).
	Eval *structs.Evaluation
	// Scaling, when set, records why a group's count changed.
	Scaling map[string]*structs.ScalingEvent
	Now     int64 // unix nanoseconds
}

// DispatchJob stores a child of a parameterized job and its evaluation. If the
// child's idempotency token has made one already, nothing is stored.
type DispatchJob struct {
	Job *structs.Job
	// ParentModifyIndex refuses the command unless the parent's specification
	// is still the one that the child was made from.
	ParentModifyIndex uint64
	Eval              *structs.Evaluation
	Now               int64
}

// LaunchJobs settles launches of periodic jobs: each is made, or left out and
// told. One that is refused doesn't keep the others.
type LaunchJobs struct {
	Launches []Launch
	Now      int64
}

// Launch is one launch of a periodic job.
type Launch struct {
	Namespace string
	JobID     string
	// ParentModifyIndex refuses the launch unless the job's specification is
	// still the one that it was decided on.
	ParentModifyIndex uint64
	// Instant is when the launch was due, in unix seconds; all launches up to it
	// are settled by this one. It is refused unless those up to After are.
	Instant, After int64
	// Forced is a launch that a user asked for: it settles none of those that
	// are due.
	Forced bool
	// Alone refuses it while an earlier launch of the job is not done.
	Alone bool
	// Job is the child, nil if the launch is left out.
	Job  *structs.Job
	Eval *structs.Evaluation
	// Note, unless empty, becomes the description of the job's status.
	Note string
}

// DeregisterJob stops a job, or removes it when Purge is set.
type DeregisterJob struct {
	Namespace       string
	JobID           string
	Purge           bool
	NoShutdownDelay bool
	Eval            *structs.Evaluation
	Now             int64
}

// MarkJobStable sets or clears the stable mark of a job version.
type MarkJobStable struct {
	Namespace  string
	JobID      string
	JobVersion uint64
	Stable     bool
	Now        int64
}

// TagJobVersion names a job version, or removes the name when Tag is nil.
type TagJobVersion struct {
	Namespace  string
	JobID      string
	JobVersion uint64
	Name       string
	Tag        *structs.JobVersionTag
}

// UpsertEvals stores evaluations, new or changed.
type UpsertEvals struct {
	Evals []*structs.Evaluation
	Now   int64
}

// ApplyPlans commits the plans of several evaluations in order. Each plan is
// verified on each of its nodes; what no longer fits is refused, the rest is
// stored. Evals are stored in the same entry: the evaluations that the plans
// finish, block or follow up.
type ApplyPlans struct {
	Plans []*structs.Plan
	Evals []*structs.Evaluation
	Now   int64
}

// RegisterNode stores a node's description, and evaluations that follow.
type RegisterNode struct {
	Node *structs.Node
	// CreatePool makes the node's pool if it doesn't exist.
	CreatePool bool
	Evals      []*structs.Evaluation
	// EvalSeed is a UUID from which the ids of further evaluations are derived, ""
	// for none: of the jobs that run on the nodes by the time the command is applied,
	// and of those that run on every node, if it made one ready. What is decided
	// before it is proposed misses jobs that come meanwhile.
	EvalSeed string
	Now      int64
}

// NodeStatus is the new status of one node.
type NodeStatus struct {
	NodeID      string
	Status      string
	Description string
	// SilentSince becomes that of the node; 0 ends that it is held back.
	SilentSince int64
	// QuarantineUntil becomes that of the node; 0 ends its quarantine.
	QuarantineUntil int64
	// NodeModifyIndex, if not 0, is the node that was decided on: one that has
	// changed since is left alone.
	NodeModifyIndex uint64
	Event           *structs.NodeEvent
}

// SetNodeStatus changes the status of nodes, in one entry however many expired
// at once.
type SetNodeStatus struct {
	Nodes []NodeStatus
	Evals []*structs.Evaluation
	// EvalSeed is a UUID from which the ids of further evaluations are derived, ""
	// for none: of the jobs that run on the nodes by the time the command is applied,
	// and of those that run on every node, if it made one ready. What is decided
	// before it is proposed misses jobs that come meanwhile.
	EvalSeed string
	Now      int64
}

// SetNodeEligibility marks a node as eligible or ineligible for placements.
type SetNodeEligibility struct {
	NodeID      string
	Eligibility string
	Event       *structs.NodeEvent
	Evals       []*structs.Evaluation
	// EvalSeed is a UUID from which the ids of further evaluations are derived, ""
	// for none: of the jobs that run on the nodes by the time the command is applied,
	// and of those that run on every node, if it made one ready. What is decided
	// before it is proposed misses jobs that come meanwhile.
	EvalSeed string
	Now      int64
}

// SetNodeDrain starts, changes or (Strategy nil) ends the drain of a node.
type SetNodeDrain struct {
	NodeID       string
	Strategy     *structs.DrainStrategy
	MarkEligible bool
	// Complete says that the drain ends (Strategy nil) because it is done, not
	// because it was called off.
	Complete bool
	// NodeModifyIndex is the node's modify index on which it was decided that the
	// drain is done: it ends only if the node is still the same, for another drain
	// may have begun meanwhile. 0: whatever happened since.
	NodeModifyIndex uint64
	Meta            map[string]string
	Event           *structs.NodeEvent
	Evals           []*structs.Evaluation
	// EvalSeed is a UUID from which the ids of further evaluations are derived, ""
	// for none: of the jobs that run on the nodes by the time the command is applied,
	// and of those that run on every node, if it made one ready. What is decided
	// before it is proposed misses jobs that come meanwhile.
	EvalSeed string
	Now      int64
}

// DeleteNodes removes nodes.
type DeleteNodes struct {
	NodeIDs []string
	Evals   []*structs.Evaluation
	// EvalSeed is a UUID from which the ids of further evaluations are derived, ""
	// for none: of the jobs that run on the nodes by the time the command is applied,
	// and of those that run on every node, if it made one ready. What is decided
	// before it is proposed misses jobs that come meanwhile.
	EvalSeed string
	Now      int64
}

// UpdateAllocs is what nodes report about their allocations, with the
// evaluations that failures and completions call for.
type UpdateAllocs struct {
	Updates []*structs.AllocUpdate
	Evals   []*structs.Evaluation
	Now     int64
}

// AllocTransition asks the scheduler to treat one allocation differently.
type AllocTransition struct {
	AllocID    string
	Transition structs.DesiredTransition
}

// TransitionAllocs asks the scheduler to treat allocations differently.
type TransitionAllocs struct {
	Transitions []AllocTransition
	Evals       []*structs.Evaluation
	Now         int64
}

// UpdateDeployment changes a deployment's status; Job, if not nil, is the
// version to return to, registered in the same entry.
type UpdateDeployment struct {
	Update structs.DeploymentStatusUpdate
	Job    *structs.Job
	// MarkStable marks the deployment's job version stable.
	MarkStable bool
	Eval       *structs.Evaluation
	Now        int64
}

// PromoteDeployment promotes the canaries of the named groups, of all if none
// is named. It is refused unless enough canaries are healthy.
type PromoteDeployment struct {
	DeploymentID string
	Groups       []string
	// StatusDescription replaces the deployment's, once promoted.
	StatusDescription string
	Eval              *structs.Evaluation
	Now               int64
}

// SetAllocHealth records the health of a deployment's allocations.
type SetAllocHealth struct {
	DeploymentID string
	Healthy      []string
	Unhealthy    []string
	Update       *structs.DeploymentStatusUpdate
	Job          *structs.Job
	Eval         *structs.Evaluation
	Now          int64
}

// UpsertServices stores service registrations of allocations.
type UpsertServices struct {
	Services []*structs.ServiceRegistration
}

// DeleteServices removes service registrations by id.
type DeleteServices struct {
	Namespace string
	IDs       []string
}

// JobKey names a job.
type JobKey struct{ Namespace, JobID string }

// Sweep removes what the collector found unreachable. What is reachable again
// when the entry is applied stays.
type Sweep struct {
	EvalIDs       []string
	AllocIDs      []string
	DeploymentIDs []string
	Jobs          []JobKey
	NodeIDs       []string
	Now           int64
}

// SetSchedulerConfig replaces the scheduler's configuration. With CAS set it
// applies only if its modify index is still CASIndex.
type SetSchedulerConfig struct {
	Config   *structs.SchedulerConfiguration
	CAS      bool
	CASIndex uint64
}

// UpsertNodePools stores node pools.
type UpsertNodePools struct{ Pools []*structs.NodePool }

// DeleteNodePools removes node pools; refused while nodes or jobs use them.
type DeleteNodePools struct{ Names []string }

// UpsertNamespaces stores namespaces.
type UpsertNamespaces struct{ Namespaces []*structs.Namespace }

// DeleteNamespaces removes namespaces; refused while they hold jobs.
type DeleteNamespaces struct{ Names []string }

func (*RegisterJob) isCommand()        {}
func (*DeregisterJob) isCommand()      {}
func (*MarkJobStable) isCommand()      {}
func (*TagJobVersion) isCommand()      {}
func (*UpsertEvals) isCommand()        {}
func (*ApplyPlans) isCommand()         {}
func (*RegisterNode) isCommand()       {}
func (*SetNodeStatus) isCommand()      {}
func (*SetNodeEligibility) isCommand() {}
func (*SetNodeDrain) isCommand()       {}
func (*DeleteNodes) isCommand()        {}
func (*UpdateAllocs) isCommand()       {}
func (*TransitionAllocs) isCommand()   {}
func (*UpdateDeployment) isCommand()   {}
func (*PromoteDeployment) isCommand()  {}
func (*SetAllocHealth) isCommand()     {}
func (*UpsertServices) isCommand()     {}
func (*DeleteServices) isCommand()     {}
func (*Sweep) isCommand()              {}
func (*SetSchedulerConfig) isCommand() {}
func (*UpsertNodePools) isCommand()    {}
func (*DeleteNodePools) isCommand()    {}
func (*UpsertNamespaces) isCommand()   {}
func (*DeleteNamespaces) isCommand()   {}
func (*DispatchJob) isCommand()        {}
func (*LaunchJobs) isCommand()         {}
