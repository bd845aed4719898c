package structs

type Job struct {
	Region                   *string
	Namespace                *string
	ID                       *string
	Name                     *string
	Type                     *string
	Priority                 *int
	AllAtOnce                *bool
	Datacenters              []string
	NodePool                 *string
	Constraints              []*Constraint
	Affinities               []*Affinity
	TaskGroups               []*TaskGroup
	Update                   *UpdateStrategy
	Multiregion              *Multiregion
	Spreads                  []*Spread
	Periodic                 *PeriodicConfig
	ParameterizedJob         *ParameterizedJobConfig
	Reschedule               *ReschedulePolicy
	Migrate                  *MigrateStrategy
	Meta                     map[string]string
	UI                       *JobUIConfig
	Stop                     *bool
	ParentID                 *string
	Dispatched               bool
	DispatchIdempotencyToken *string
	Payload                  []byte
	ConsulNamespace          *string
	VaultNamespace           *string
	NomadTokenID             *string
	Status                   *string
	StatusDescription        *string
	Stable                   *bool
	Version                  *uint64
	SubmitTime               *int64
	CreateIndex              *uint64
	ModifyIndex              *uint64
	JobModifyIndex           *uint64
	VersionTag               *JobVersionTag
}

type JobUIConfig struct {
	Description string
	Links       []*JobUILink
}

type JobUILink struct {
	Label string
	URL   string
}

type JobVersionTag struct {
	Name        string
	Description string
	TaggedTime  int64
}

type PeriodicConfig struct {
	Enabled         *bool
	Spec            *string
	Specs           []string
	SpecType        *string
	ProhibitOverlap *bool
	TimeZone        *string
}

type ParameterizedJobConfig struct {
	Payload      string
	MetaRequired []string
	MetaOptional []string
}

type Multiregion struct {
	Strategy *MultiregionStrategy
	Regions  []*MultiregionRegion
}

type MultiregionStrategy struct {
	MaxParallel *int
	OnFailure   *string
}

type MultiregionRegion struct {
	Name        string
	Count       *int
	Datacenters []string
	NodePool    string
	Meta        map[string]string
}

type JobSubmission struct {
	Source        string
	Format        string
	VariableFlags map[string]string
	Variables     string
}
