package structs

import "time"

// RestartPolicy says how often a task may be restarted where it runs.
type RestartPolicy struct {
	Interval        *time.Duration `change:"inplace"` // default service/system 30m, batch/sysbatch 24h; >=5s; attempts*delay <= interval
	Attempts        *int           `change:"inplace"` // default service/system 2, batch/sysbatch 3; >=0; 0 only with mode fail
	Delay           *time.Duration `change:"inplace"` // default 15s; plus up to 25% jitter
	Mode            *string        `change:"inplace"` // default fail; fail delay
	RenderTemplates *bool          `change:"inplace"` // re-render all templates on restart
}

// ReschedulePolicy says how often a failed allocation may be replaced, and
// after which delays.
type ReschedulePolicy struct {
	Attempts      *int           `change:"inplace"` // default service 0 (unlimited), batch 1; >=0; with unlimited=true must be 0
	Interval      *time.Duration `change:"inplace"` // default service 0, batch 24h; >=15s if limited; attempts must fit in interval with delays
	Delay         *time.Duration `change:"inplace"` // default service 30s, batch 5s; >=5s
	DelayFunction *string        `change:"inplace"` // default service exponential, batch constant; constant exponential fibonacci
	MaxDelay      *time.Duration `change:"inplace"` // default service 1h, batch 0; >=5s and >= delay unless constant
	Unlimited     *bool          `change:"inplace"` // default service true, batch false
}

// DisconnectStrategy says what happens to allocations of a node that is out
// of touch.
type DisconnectStrategy struct {
	LostAfter         *time.Duration `change:"inplace"` // default 0; >=0; time alloc stays unknown before lost; not with stop_on_client_after
	StopOnClientAfter *time.Duration `change:"inplace"` // >=0; only service or batch; client stops alloc by itself
	Replace           *bool          `change:"inplace"` // default true
	Reconcile         *string        `change:"inplace"` // default best_score; best_score longest_running keep_original keep_replacement
}

// UpdateStrategy says how allocations of an old version are replaced.
type UpdateStrategy struct {
	Stagger          *time.Duration `change:"inplace"` // default 30s; >0; system jobs: gap between node updates
	MaxParallel      *int           `change:"inplace"` // default 1; >=0; 0 = all at once (no deployment); warning above group count
	HealthCheck      *string        `change:"inplace"` // default checks; checks task_states manual
	MinHealthyTime   *time.Duration `change:"inplace"` // default 10s; >=0; < healthy_deadline
	HealthyDeadline  *time.Duration `change:"inplace"` // default 5m; >0; < progress_deadline
	ProgressDeadline *time.Duration `change:"inplace"` // default 10m; >=0; 0 = fail on first unhealthy alloc
	Canary           *int           `change:"inplace"` // default 0; >=0; equal to count = blue/green
	AutoRevert       *bool          `change:"inplace"` // return to latest stable version on failure
	AutoPromote      *bool          `change:"inplace"` // needs canary > 0; must be true for all canary groups
}

// MigrateStrategy says how allocations leave a draining node.
type MigrateStrategy struct {
	MaxParallel     *int           `change:"inplace"` // default 1; >=0; per group during drain
	HealthCheck     *string        `change:"inplace"` // default checks; checks task_states
	MinHealthyTime  *time.Duration `change:"inplace"` // default 10s; >=0; <= healthy_deadline
	HealthyDeadline *time.Duration `change:"inplace"` // default 5m; >=0
}
