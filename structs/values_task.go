package structs

// What happened to a task, as its events tell it.
const (
	TaskReceived               = "Received"
	TaskSetup                  = "Task Setup"
	TaskSetupFailure           = "Setup Failure"
	TaskFailedValidation       = "Failed Validation"
	TaskBuildingTaskDir        = "Building Task Directory"
	TaskDownloadingArtifacts   = "Downloading Artifacts"
	TaskArtifactDownloadFailed = "Failed Artifact Download"
	TaskDriverMessage          = "Driver"
	TaskDriverFailure          = "Driver Failure"
	TaskStarted                = "Started"
	TaskRunning                = "Running"
	TaskPausing                = "Pausing"
	TaskTerminated             = "Terminated"
	TaskRestarting             = "Restarting"
	TaskNotRestarting          = "Not Restarting"
	TaskRestartSignal          = "Restart Signaled"
	TaskSignaling              = "Signaling"
	TaskKilling                = "Killing"
	TaskKilled                 = "Killed"
	TaskDiskExceeded           = "Disk Resources Exceeded"
	TaskSiblingFailed          = "Sibling Task Failed"
	TaskLeaderDead             = "Leader Task Dead"
	TaskMainDead               = "Main Tasks Dead"
	TaskHookFailed             = "Task hook failed"
	TaskHookMessage            = "Task hook message"
	TaskRestoreFailed          = "Failed Restoring Task"
	TaskPluginUnhealthy        = "Plugin became unhealthy"
	TaskPluginHealthy          = "Plugin became healthy"
	TaskClientReconnected      = "Reconnected"
	TaskWaitingShutdownDelay   = "Waiting for shutdown delay"
	TaskSkippingShutdownDelay  = "Skipping shutdown delay"
)

// When a task runs relative to the main tasks of its group.
const (
	TaskHookPrestart  = "prestart"
	TaskHookPoststart = "poststart"
	TaskHookPoststop  = "poststop"
)

// What follows when a restart policy's attempts are used up.
const (
	RestartModeFail  = "fail"  // the task fails
	RestartModeDelay = "delay" // wait for the rest of the interval, go on
)

// How the delay between reschedules grows.
const (
	DelayConstant    = "constant"
	DelayExponential = "exponential"
	DelayFibonacci   = "fibonacci"
)

// What an allocation's health is judged by.
const (
	HealthChecks     = "checks"
	HealthTaskStates = "task_states"
	HealthManual     = "manual"
)

// Which allocation stays when a disconnected node returns.
const (
	ReconcileBestScore       = "best_score"
	ReconcileLongestRunning  = "longest_running"
	ReconcileKeepOriginal    = "keep_original"
	ReconcileKeepReplacement = "keep_replacement"
)

// What to do when a template's, identity's or secret's content changed.
const (
	ChangeModeNoop    = "noop"
	ChangeModeRestart = "restart"
	ChangeModeSignal  = "signal"
	ChangeModeScript  = "script"
)

// Who keeps a service's registration.
const (
	ServiceProviderNomad  = "nomad"
	ServiceProviderConsul = "consul"
)

// Which address a service is registered with.
const (
	AddressModeAuto      = "auto"
	AddressModeHost      = "host"
	AddressModeDriver    = "driver"
	AddressModeAlloc     = "alloc"
	AddressModeAllocIPv6 = "alloc_ipv6"
)

// What a check's result means for a deployment.
const (
	OnUpdateRequireHealthy = "require_healthy"
	OnUpdateIgnoreWarn     = "ignore_warnings"
	OnUpdateIgnore         = "ignore"
)

// How a service is checked.
const (
	CheckTypeHTTP   = "http"
	CheckTypeTCP    = "tcp"
	CheckTypeGRPC   = "grpc"
	CheckTypeScript = "script"
)

// What a check of a native service is for, and how it went.
const (
	CheckModeHealthiness = "healthiness"
	CheckModeReadiness   = "readiness"

	CheckStatusSuccess = "success"
	CheckStatusWarning = "warning"
	CheckStatusFailure = "failure"
	CheckStatusPending = "pending"
)

// Networks of a group.
const (
	NetworkModeNone   = "none"
	NetworkModeBridge = "bridge"
	NetworkModeHost   = "host"
	NetworkModeCNI    = "cni/" // prefix, the network's name follows
	HostNetworkName   = "default"
)

// Kinds of volumes a group asks for.
const (
	VolumeTypeHost = "host"
	VolumeTypeCSI  = "csi"
)

// Comparisons of constraints and affinities.
const (
	OpEqual            = "="
	OpDistinctHosts    = "distinct_hosts"
	OpDistinctProperty = "distinct_property"
	OpRegexp           = "regexp"
	OpVersion          = "version"
	OpSemver           = "semver"
	OpSetContains      = "set_contains"
	OpSetContainsAll   = "set_contains_all"
	OpSetContainsAny   = "set_contains_any"
	OpAttributeSet     = "is_set"
	OpAttributeNotSet  = "is_not_set"
)

// IdentityDefaultName and IdentityDefaultAudience describe the identity that
// every task has.
const (
	IdentityDefaultName     = "default"
	IdentityDefaultAudience = "nomadproject.io"
)
