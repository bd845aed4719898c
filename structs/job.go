package structs

// Job is what a user wants to run: groups of tasks, and rules for placing,
// updating and restarting them. Each registration that changes anything makes a
// new version.
type Job struct {
	Region                   *string                 `change:"replace"` // default global (agent region when sent via API without one); required unless multiregion
	Namespace                *string                 `change:"inplace"` // default "default"; existing namespace; must exist
	ID                       *string                 `change:"inplace"` // no spaces or NUL; required; becomes ID and Name unless set
	Name                     *string                 `change:"replace"` // default job ID; no NUL
	Type                     *string                 `change:"inplace"` // default service; service batch system sysbatch; core refused
	Priority                 *int                    `change:"inplace"`
	AllAtOnce                *bool                   `change:"inplace"`
	Datacenters              []string                `change:"inplace"` // default ["*"]; names or globs; non-empty entries; at least one after defaulting
	NodePool                 *string                 `change:"inplace"`
	Constraints              []*Constraint           `change:"inplace"`
	Affinities               []*Affinity             `change:"replace"` // not for system
	TaskGroups               []*TaskGroup            `change:"inplace"` // at least one; unique names; total count <= job_max_count (50000)
	Update                   *UpdateStrategy         `change:"inplace"`
	Multiregion              *Multiregion            `change:"inplace"`                   // refused
	Spreads                  []*Spread               `change:"replace"`                   // not for system
	Periodic                 *PeriodicConfig         `change:"inplace"`                   // only batch or sysbatch; not with parameterized
	ParameterizedJob         *ParameterizedJobConfig `change:"inplace"`                   // only batch or sysbatch
	Reschedule               *ReschedulePolicy       `json:",omitempty" change:"inplace"` // default per type; not for system or sysbatch; merged into groups
	Migrate                  *MigrateStrategy        `json:",omitempty" change:"inplace"` // default service default; only service; merged into groups
	Meta                     map[string]string       `change:"replace"`                   // string keys and values; also accepted as attribute map; HCL1 style keys ok
	UI                       *JobUIConfig            `change:"inplace"`
	Stop                     *bool                   `change:"inplace"`
	ParentID                 *string                 `change:"ignore"`
	Dispatched               bool                    `change:"ignore"`
	DispatchIdempotencyToken *string                 `change:"ignore"`
	Payload                  []byte                  `change:"replace"`
	ConsulNamespace          *string                 `change:"replace"`
	VaultNamespace           *string                 `change:"replace"`
	NomadTokenID             *string                 `change:"ignore"`
	Status                   *string                 `change:"ignore"`
	StatusDescription        *string                 `change:"ignore"`
	Stable                   *bool                   `change:"ignore"`
	Version                  *uint64                 `change:"ignore"`
	SubmitTime               *int64                  `change:"ignore"`
	CreateIndex              *uint64                 `change:"ignore"`
	ModifyIndex              *uint64                 `change:"ignore"`
	JobModifyIndex           *uint64                 `change:"ignore"`
	VersionTag               *JobVersionTag          `change:"ignore"`
}

// JobUIConfig is what the web console shows beside a job.
type JobUIConfig struct {
	Description string       `change:"inplace"` // markdown; max 1000 characters
	Links       []*JobUILink `change:"inplace"`
}

// JobUILink is a link that the web console shows beside a job.
type JobUILink struct {
	Label string `change:"inplace"` // text of link
	URL   string `change:"inplace"` // URL
}

// JobVersionTag names a version of a job, which is then kept.
type JobVersionTag struct {
	Name        string `change:"ignore"`
	Description string `change:"ignore"`
	TaggedTime  int64  `change:"ignore"`
}

// PeriodicConfig launches a batch job by time.
type PeriodicConfig struct {
	Enabled         *bool    `change:"inplace"` // default true
	Spec            *string  `change:"inplace"` // cron expression; deprecated; exactly one of cron or crons
	Specs           []string `change:"inplace"` // list of cron expressions; each must parse (5-7 field cronexpr, @daily forms)
	SpecType        *string  `change:"inplace"`
	ProhibitOverlap *bool    `change:"inplace"` // skip launch while previous child runs
	TimeZone        *string  `change:"inplace"` // default UTC; IANA name; must load
	// RunMissed says whether the latest launch that was missed while no server led
	// is made late (nil: it is). The others that were missed never are.
	RunMissed *bool `json:",omitempty" change:"inplace"` // default true; Steppe's own
}

// ParameterizedJobConfig says what a dispatch of the job must and may give.
type ParameterizedJobConfig struct {
	Payload      string   `change:"inplace"` // default optional; optional required forbidden; payload max 16 KiB at dispatch
	MetaRequired []string `change:"inplace"` // disjoint from meta_optional; dispatch must set all
	MetaOptional []string `change:"inplace"` // dispatch may not set other keys
}

// Multiregion spreads a job over regions. It is kept, not acted upon.
type Multiregion struct {
	Strategy *MultiregionStrategy `change:"inplace"`
	Regions  []*MultiregionRegion `change:"inplace"`
}

// MultiregionStrategy orders the rollout over regions.
type MultiregionStrategy struct {
	MaxParallel *int    `change:"inplace"` // default 0 (all at once); >=0
	OnFailure   *string `change:"inplace"` // default "" (blocks failed region onwards); "" fail_all fail_local
}

// MultiregionRegion is one region of a multiregion job.
type MultiregionRegion struct {
	Name        string            `change:"inplace"` // region name; required unique
	Count       *int              `change:"inplace"` // default 1; >=0; used for groups with count 0
	Datacenters []string          `change:"inplace"` // default job datacenters
	NodePool    string            `change:"inplace"` // default job pool
	Meta        map[string]string `change:"inplace"` // merged over job meta
}

// JobSubmission is the text that a job was made from. Format is hcl2 or json.
type JobSubmission struct {
	Source        string
	Format        string
	VariableFlags map[string]string
	Variables     string
}
