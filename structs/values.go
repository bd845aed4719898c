package structs

// Kinds of jobs: who schedules them and how long they live.
const (
	JobTypeService  = "service"  // runs until stopped
	JobTypeBatch    = "batch"    // runs to completion
	JobTypeSystem   = "system"   // runs on every node until stopped
	JobTypeSysBatch = "sysbatch" // runs to completion on every node
	JobTypeCore     = "_core"    // internal garbage collection
)

// EveryNode reports whether jobs of a kind run once on every node that suits them,
// not on as many as they count.
func EveryNode(kind string) bool { return kind == JobTypeSystem || kind == JobTypeSysBatch }

// Ends reports whether jobs of a kind are done once their tasks have succeeded.
func Ends(kind string) bool { return kind == JobTypeBatch || kind == JobTypeSysBatch }

// What a job's status tells about its allocations and evaluations.
const (
	JobStatusPending = "pending"
	JobStatusRunning = "running"
	JobStatusDead    = "dead"
)

// Limits and defaults of jobs.
const (
	JobMinPriority     = 1
	JobDefaultPriority = 50
	JobMaxPriority     = 100
	JobTrackedVersions = 6     // versions kept, stable and tagged ones aside
	JobMaxCount        = 50000 // sum of a job's group counts, unless the servers are told otherwise
	// JobVersionTagMaxDescription is in characters.
	JobVersionTagMaxDescription = 1000
)

// Names that exist without being created.
const (
	DefaultNamespace = "default"
	DefaultRegion    = "global"
	NodePoolDefault  = "default"
	NodePoolAll      = "all" // every node is in it; it can't be changed
	AllNamespaces    = "*"   // in queries only
)

// Where an evaluation stands.
const (
	EvalStatusBlocked   = "blocked"
	EvalStatusPending   = "pending"
	EvalStatusComplete  = "complete"
	EvalStatusFailed    = "failed"
	EvalStatusCancelled = "canceled"
)

// Why an evaluation was made.
const (
	TriggerJobRegister          = "job-register"
	TriggerJobDeregister        = "job-deregister"
	TriggerPeriodicJob          = "periodic-job"
	TriggerNodeDrain            = "node-drain"
	TriggerNodeUpdate           = "node-update"
	TriggerAllocStop            = "alloc-stop"
	TriggerScheduled            = "scheduled"
	TriggerRollingUpdate        = "rolling-update"
	TriggerDeploymentWatcher    = "deployment-watcher"
	TriggerFailedFollowUp       = "failed-follow-up"
	TriggerMaxPlans             = "max-plan-attempts"
	TriggerAllocFailure         = "alloc-failure"
	TriggerQueuedAllocs         = "queued-allocs"
	TriggerPreemption           = "preemption"
	TriggerJobScaling           = "job-scaling"
	TriggerMaxDisconnectTimeout = "max-disconnect-timeout"
	TriggerReconnect            = "reconnect"
	TriggerAllocReschedule      = "alloc-reschedule"
)

// DescEvalBlocked describes the evaluation that waits for capacity.
const DescEvalBlocked = "created to place remaining allocations"

// What the servers want of an allocation.
const (
	AllocDesiredRun   = "run"
	AllocDesiredStop  = "stop"
	AllocDesiredEvict = "evict"
)

// What the client says of an allocation.
const (
	AllocClientPending  = "pending"
	AllocClientRunning  = "running"
	AllocClientComplete = "complete"
	AllocClientFailed   = "failed"
	AllocClientLost     = "lost"
	AllocClientUnknown  = "unknown"
)

// Why the servers want what they want of an allocation. Tools match on these
// texts.
const (
	DescAllocNotNeeded   = "alloc not needed due to job update"
	DescAllocReconnected = "alloc not needed due to disconnected client reconnect"
	DescAllocMigrating   = "alloc is being migrated"
	DescAllocUpdating    = "alloc is being updated due to job update"
	DescAllocLost        = "alloc is lost since its node is down"
	DescAllocUnknown     = "alloc is unknown since its node is disconnected"
	DescAllocNodeTainted = "alloc not needed as node is tainted"
	DescAllocRescheduled = "alloc was rescheduled because it failed"
	DescAllocInPlace     = "alloc updating in-place"
	DescAllocPreempted   = "alloc was preempted by a job of higher priority"
)

// Where a deployment stands.
const (
	DeploymentStatusRunning      = "running"
	DeploymentStatusPaused       = "paused"
	DeploymentStatusFailed       = "failed"
	DeploymentStatusSuccessful   = "successful"
	DeploymentStatusCancelled    = "cancelled"
	DeploymentStatusInitializing = "initializing" // multiregion
	DeploymentStatusPending      = "pending"      // multiregion
	DeploymentStatusBlocked      = "blocked"      // multiregion
	DeploymentStatusUnblocking   = "unblocking"   // multiregion
)

// What a deployment says of its status.
const (
	DescDeploymentRunning             = "Deployment is running"
	DescDeploymentRunningNeedsPromote = "Deployment is running but requires manual promotion"
	DescDeploymentRunningAutoPromote  = "Deployment is running pending automatic promotion"
	DescDeploymentPaused              = "Deployment is paused"
	DescDeploymentSuccessful          = "Deployment completed successfully"
	DescDeploymentStopped             = "Cancelled because job is stopped"
	DescDeploymentNewerJob            = "Cancelled due to newer version of job"
	DescDeploymentFailedAllocations   = "Failed due to unhealthy allocations"
	DescDeploymentProgressDeadline    = "Failed due to progress deadline"
	DescDeploymentFailedByUser        = "Deployment marked as failed"
	DescDeploymentRollbackFmt         = " - rolling back to job version %d"
	DescDeploymentRollbackNoopFmt     = " - not rolling back to stable job version %d as current job has same specification"
	DescDeploymentNoRollbackTarget    = " - no stable job version to auto revert to"
)

// Where a node stands.
const (
	NodeStatusInit         = "initializing"
	NodeStatusReady        = "ready"
	NodeStatusDown         = "down"
	NodeStatusDisconnected = "disconnected"
)

// Whether a node takes placements.
const (
	NodeEligible   = "eligible"
	NodeIneligible = "ineligible"
)

// How a node's last drain ended, or goes on.
const (
	DrainStatusDraining = "draining"
	DrainStatusComplete = "complete"
	DrainStatusCanceled = "canceled"
)

// What part of a node an event of it is about.
const (
	NodeEventDrain     = "Drain"
	NodeEventDriver    = "Driver"
	NodeEventHeartbeat = "Heartbeat"
	NodeEventCluster   = "Cluster"
	NodeEventScheduler = "Scheduler"
	NodeEventStorage   = "Storage"
)

// Events kept, oldest dropped first.
const (
	MaxNodeEvents = 10 // a node
	MaxTaskEvents = 10 // a task
	// MaxRescheduleEvents are kept of an allocation whose rescheduling is limited.
	MaxRescheduleEvents = 5
)

// Where a task stands.
const (
	TaskStatePending = "pending"
	TaskStateRunning = "running"
	TaskStateDead    = "dead"
)

// Which nodes a scheduler prefers.
const (
	SchedulerBinPack = "binpack" // fill nodes up
	SchedulerSpread  = "spread"  // even out
)
