package structs

import "time"

// JobRegisterRequest registers a job.
type JobRegisterRequest struct {
	Submission        *JobSubmission
	Job               *Job
	EnforceIndex      bool   `json:",omitempty"`
	JobModifyIndex    uint64 `json:",omitempty"`
	PolicyOverride    bool   `json:",omitempty"`
	PreserveCounts    bool   `json:",omitempty"`
	PreserveResources bool   `json:",omitempty"`
	EvalPriority      int    `json:",omitempty"`
	WriteRequest
}

// JobRegisterResponse answers a registration.
type JobRegisterResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	Warnings        string
	QueryMeta
}

// JobDeregisterResponse answers a stop.
type JobDeregisterResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	QueryMeta
}

// JobPlanRequest asks what a registration would do.
type JobPlanRequest struct {
	Job            *Job
	Diff           bool
	PolicyOverride bool
	WriteRequest
}

// JobPlanResponse tells what a registration would do.
type JobPlanResponse struct {
	JobModifyIndex     uint64
	CreatedEvals       []*Evaluation
	Diff               *JobDiff
	Annotations        *PlanAnnotations
	FailedTGAllocs     map[string]*AllocationMetric
	NextPeriodicLaunch *time.Time // null unless the job is periodic
	Warnings           string
	// Outcome says what would be placed where, stopped and updated. It is ours,
	// other clients pass over it.
	Outcome *PlanOutcome `json:",omitempty"`
	WriteMeta
}

// JobValidateRequest asks whether a job is valid.
type JobValidateRequest struct {
	Job *Job
	WriteRequest
}

// JobValidateResponse tells whether a job is valid.
type JobValidateResponse struct {
	DriverConfigValidated bool
	ValidationErrors      []string
	Error                 string
	Warnings              string
}

// JobRevertRequest returns to an old version.
type JobRevertRequest struct {
	JobID               string
	JobVersion          uint64
	EnforcePriorVersion *uint64
	WriteRequest
}

// JobEvaluateRequest asks for an evaluation.
type JobEvaluateRequest struct {
	JobID       string
	EvalOptions EvalOptions
	WriteRequest
}

// EvalOptions change what an evaluation does.
type EvalOptions struct {
	ForceReschedule bool
}

// JobVersionsResponse lists the versions of a job, newest first.
type JobVersionsResponse struct {
	Versions []*Job
	Diffs    []*JobDiff
	QueryMeta
}

// JobsParseRequest asks for a job in HCL as JSON.
type JobsParseRequest struct {
	JobHCL       string
	Variables    string
	Canonicalize bool
}

// JobDispatchRequest makes a job from a parameterized one.
type JobDispatchRequest struct {
	JobID            string
	Payload          []byte
	Meta             map[string]string
	IdPrefixTemplate string
	Priority         int
}

// JobDispatchResponse answers a dispatch.
type JobDispatchResponse struct {
	DispatchedJobID string
	EvalID          string
	EvalCreateIndex uint64
	JobCreateIndex  uint64
	WriteMeta
}

// JobStabilityRequest marks a version stable or not.
type JobStabilityRequest struct {
	JobID      string
	JobVersion uint64
	Stable     bool
	WriteRequest
}

// JobStabilityResponse answers a JobStabilityRequest.
type JobStabilityResponse struct {
	JobModifyIndex uint64
	WriteMeta
}

// ScalingRequest changes a group's count.
type ScalingRequest struct {
	Count   *int64
	Target  map[string]string
	Message string
	Error   bool
	Meta    map[string]any
	WriteRequest
	PolicyOverride bool
	JobModifyIndex uint64
}

// TagVersionRequest names a version.
type TagVersionRequest struct {
	Version     uint64
	Latest      bool
	Description string
	WriteRequest
}

// WriteRequest is what every write carries.
type WriteRequest struct {
	Region    string
	Namespace string
	SecretID  string
}

// QueryMeta is what every answer to a read carries.
type QueryMeta struct {
	LastIndex   uint64 `json:"Index"`
	LastContact time.Duration
	KnownLeader bool
	RequestTime time.Duration `json:"-"`
	NextToken   string
}

// WriteMeta is what every answer to a write carries.
type WriteMeta struct {
	LastIndex   uint64        `json:"Index"`
	RequestTime time.Duration `json:"-"`
}
