package structs

import "time"

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

type JobRegisterResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	Warnings        string
	QueryMeta
}

type JobDeregisterResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	QueryMeta
}

type JobPlanRequest struct {
	Job            *Job
	Diff           bool
	PolicyOverride bool
	WriteRequest
}

type JobPlanResponse struct {
	JobModifyIndex     uint64
	CreatedEvals       []*Evaluation
	Diff               *JobDiff
	Annotations        *PlanAnnotations
	FailedTGAllocs     map[string]*AllocationMetric
	NextPeriodicLaunch *time.Time // null unless the job is periodic
	Warnings           string
	WriteMeta
}

type JobValidateRequest struct {
	Job *Job
	WriteRequest
}

type JobValidateResponse struct {
	DriverConfigValidated bool
	ValidationErrors      []string
	Error                 string
	Warnings              string
}

type JobRevertRequest struct {
	JobID               string
	JobVersion          uint64
	EnforcePriorVersion *uint64
	WriteRequest
}

type JobEvaluateRequest struct {
	JobID       string
	EvalOptions EvalOptions
	WriteRequest
}

type EvalOptions struct {
	ForceReschedule bool
}

type JobVersionsResponse struct {
	Versions []*Job
	Diffs    []*JobDiff
	QueryMeta
}

type JobsParseRequest struct {
	JobHCL       string
	Variables    string
	Canonicalize bool
}

type JobDispatchRequest struct {
	JobID            string
	Payload          []byte
	Meta             map[string]string
	IdPrefixTemplate string
	Priority         int
}

type JobDispatchResponse struct {
	DispatchedJobID string
	EvalID          string
	EvalCreateIndex uint64
	JobCreateIndex  uint64
	WriteMeta
}

type JobStabilityRequest struct {
	JobID      string
	JobVersion uint64
	Stable     bool
	WriteRequest
}

type JobStabilityResponse struct {
	JobModifyIndex uint64
	WriteMeta
}

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

type TagVersionRequest struct {
	Version     uint64
	Latest      bool
	Description string
	WriteRequest
}

type WriteRequest struct {
	Region    string
	Namespace string
	SecretID  string
}

type QueryMeta struct {
	LastIndex   uint64 `json:"Index"`
	LastContact time.Duration
	KnownLeader bool
	RequestTime time.Duration `json:"-"`
	NextToken   string
}

type WriteMeta struct {
	LastIndex   uint64        `json:"Index"`
	RequestTime time.Duration `json:"-"`
}
