package structs

import "time"

// DefaultRestartPolicy returns the restart policy of a type of job.
func DefaultRestartPolicy(jobType string) *RestartPolicy {
	p := &RestartPolicy{
		Interval:        new(30 * time.Minute),
		Attempts:        new(2),
		Delay:           new(15 * time.Second),
		Mode:            new(RestartModeFail),
		RenderTemplates: new(false),
	}
	if Ends(jobType) {
		p.Interval, p.Attempts = new(24*time.Hour), new(3)
	}
	return p
}

// DefaultReschedulePolicy returns the reschedule policy of a type of job; nil
// for jobs that run on every node, which have none.
func DefaultReschedulePolicy(jobType string) *ReschedulePolicy {
	switch jobType {
	case JobTypeService:
		return &ReschedulePolicy{
			Attempts:      new(0),
			Interval:      new(time.Duration(0)),
			Delay:         new(30 * time.Second),
			DelayFunction: new(DelayExponential),
			MaxDelay:      new(time.Hour),
			Unlimited:     new(true),
		}
	case JobTypeBatch:
		return &ReschedulePolicy{
			Attempts:      new(1),
			Interval:      new(24 * time.Hour),
			Delay:         new(5 * time.Second),
			DelayFunction: new(DelayConstant),
			MaxDelay:      new(time.Duration(0)),
			Unlimited:     new(false),
		}
	}
	return nil
}

// DefaultUpdateStrategy returns the update strategy of jobs that run until
// stopped.
func DefaultUpdateStrategy() *UpdateStrategy {
	return &UpdateStrategy{
		Stagger:          new(30 * time.Second),
		MaxParallel:      new(1),
		HealthCheck:      new(HealthChecks),
		MinHealthyTime:   new(10 * time.Second),
		HealthyDeadline:  new(5 * time.Minute),
		ProgressDeadline: new(10 * time.Minute),
		Canary:           new(0),
		AutoRevert:       new(false),
		AutoPromote:      new(false),
	}
}

// DefaultMigrateStrategy returns the migrate strategy of service jobs.
func DefaultMigrateStrategy() *MigrateStrategy {
	return &MigrateStrategy{
		MaxParallel:     new(1),
		HealthCheck:     new(HealthChecks),
		MinHealthyTime:  new(10 * time.Second),
		HealthyDeadline: new(5 * time.Minute),
	}
}

// DefaultEphemeralDisk returns the disk of groups that ask for none.
func DefaultEphemeralDisk() *EphemeralDisk {
	return &EphemeralDisk{Sticky: new(false), Migrate: new(false), SizeMB: new(300)}
}

// DefaultLogConfig returns the log limits of tasks that set none.
func DefaultLogConfig() *LogConfig {
	return &LogConfig{MaxFiles: new(10), MaxFileSizeMB: new(10), Disabled: new(false)}
}

// DefaultResources returns the resources of tasks that ask for none.
func DefaultResources() *Resources {
	return &Resources{
		CPU: new(100), Cores: new(0), MemoryMB: new(300), MemoryMaxMB: new(0),
		DiskMB: new(0), SecretsMB: new(0), IOPS: new(0),
	}
}

// DefaultIdentity returns the identity that every task has.
func DefaultIdentity() *WorkloadIdentity {
	return &WorkloadIdentity{Name: IdentityDefaultName, Audience: []string{IdentityDefaultAudience}}
}

// DefaultSchedulerConfiguration returns how a new cluster schedules.
func DefaultSchedulerConfiguration() *SchedulerConfiguration {
	return &SchedulerConfiguration{
		SchedulerAlgorithm: SchedulerBinPack,
		PreemptionConfig:   PreemptionConfig{SystemSchedulerEnabled: true},
	}
}

// BuiltinNodePools returns the pools that exist without being created.
func BuiltinNodePools() []*NodePool {
	return []*NodePool{
		{Name: NodePoolAll, Description: "Node pool with all nodes in the cluster.", NodeIdentityTTL: defaultNodeIdentityTTL},
		{Name: NodePoolDefault, Description: "Default node pool.", NodeIdentityTTL: defaultNodeIdentityTTL},
	}
}

// BuiltinNamespace returns the namespace that exists without being created.
func BuiltinNamespace() *Namespace {
	return &Namespace{Name: DefaultNamespace, Description: "Default shared namespace"}
}
