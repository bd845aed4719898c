package structs

import "time"

// TaskGroup is a set of tasks that are placed together on one node, Count
// times over.
type TaskGroup struct {
	Name                      *string                   `change:"inplace"` // required; unique; no NUL
	Count                     *int                      `change:"inplace"` // default 1 (scaling.min if set); >=0; system: at most 1; within scaling min/max
	Constraints               []*Constraint             `change:"inplace"`
	Affinities                []*Affinity               `change:"replace"`
	Tasks                     []*Task                   `change:"inplace"` // at least one; at least one main task; at most one leader; unique names
	Spreads                   []*Spread                 `change:"replace"`
	Volumes                   map[string]*VolumeRequest `change:"replace"`
	RestartPolicy             *RestartPolicy            `change:"inplace"` // default per type
	Disconnect                *DisconnectStrategy       `change:"inplace"`
	ReschedulePolicy          *ReschedulePolicy         `change:"inplace"`
	EphemeralDisk             *EphemeralDisk            `change:"replace"` // default 300 MB
	Update                    *UpdateStrategy           `change:"inplace"`
	Migrate                   *MigrateStrategy          `change:"inplace"`
	Networks                  []*NetworkResource        `change:"replace"` // one network block per group in practice
	Meta                      map[string]string         `change:"replace"`
	Services                  []*Service                `change:"inplace"` // all services of a group use one provider
	ShutdownDelay             *time.Duration            `change:"inplace"` // default 0; >=0; wait after deregistering services before kill
	MaxRunDuration            *time.Duration            `change:"inplace"` // >0; only batch or sysbatch; alloc stopped after it
	StopAfterClientDisconnect *time.Duration            `change:"inplace"` // deprecated and ignored; use disconnect.stop_on_client_after
	MaxClientDisconnect       *time.Duration            `change:"inplace"` // deprecated and ignored; use disconnect.lost_after
	Scaling                   *ScalingPolicy            `change:"inplace"` // not for system
	Consul                    *Consul                   `change:"replace"`
	PreventRescheduleOnLost   *bool                     `change:"inplace"` // deprecated and ignored; use disconnect.replace
}

// EphemeralDisk is the allocation's shared disk, in MB.
type EphemeralDisk struct {
	Sticky  *bool `change:"replace"` // prefer same node on update
	Migrate *bool `change:"replace"` // copy data between nodes; forces sticky
	SizeMB  *int  `change:"replace"` // default 300; logs total must be smaller
}

// ScalingPolicy bounds a count, for an autoscaler to change.
type ScalingPolicy struct {
	Min         *int64            `change:"inplace"` // default group count; >=0; <= count
	Max         *int64            `change:"inplace"` // default -1 (must set); >=0; >= min and >= count
	Policy      map[string]any    `change:"inplace"` // free form map for autoscaler
	Enabled     *bool             `change:"inplace"` // default true
	Type        string            `change:"inplace"` // default horizontal; horizontal; ent: vertical_cpu vertical_mem (task level label cpu/mem)
	ID          string            `change:"ignore"`
	Namespace   string            `change:"ignore"`
	Target      map[string]string `change:"ignore"`
	CreateIndex uint64            `change:"ignore"`
	ModifyIndex uint64            `change:"ignore"`
}

// ScalingPolicyListStub is a scaling policy in a list.
type ScalingPolicyListStub struct {
	ID          string
	Enabled     bool
	Type        string
	Target      map[string]string
	CreateIndex uint64
	ModifyIndex uint64
}
