package structs

import "time"

type Task struct {
	Name            string
	Driver          string
	User            string
	Lifecycle       *TaskLifecycle
	Config          map[string]any
	Constraints     []*Constraint
	Affinities      []*Affinity
	Env             map[string]string
	Services        []*Service
	Resources       *Resources
	RestartPolicy   *RestartPolicy
	Meta            map[string]string
	KillTimeout     *time.Duration
	LogConfig       *LogConfig
	Artifacts       []*TaskArtifact
	Vault           *Vault
	Consul          *Consul
	Templates       []*Template
	DispatchPayload *DispatchPayloadConfig
	VolumeMounts    []*VolumeMount
	CSIPluginConfig *TaskCSIPluginConfig `json:",omitempty"`
	Leader          bool
	ShutdownDelay   time.Duration
	KillSignal      string
	Kind            string
	ScalingPolicies []*ScalingPolicy
	Secrets         []*Secret
	Identity        *WorkloadIdentity
	Identities      []*WorkloadIdentity
	Actions         []*Action
	Schedule        *TaskSchedule
}

type TaskLifecycle struct {
	Hook    string
	Sidecar bool
}

type LogConfig struct {
	MaxFiles      *int
	MaxFileSizeMB *int
	Enabled       *bool
	Disabled      *bool
}

type DispatchPayloadConfig struct {
	File string
}

type TaskArtifact struct {
	GetterSource   *string
	GetterOptions  map[string]string
	GetterHeaders  map[string]string
	GetterMode     *string
	GetterInsecure *bool
	RelativeDest   *string
	Chown          bool
}

type Action struct {
	Name    string
	Command string
	Args    []string
}

type Secret struct {
	Name     string
	Provider string
	Path     string
	Config   map[string]any
	Env      map[string]string
}

type TaskSchedule struct {
	Cron *TaskScheduleCron
}

type TaskScheduleCron struct {
	Start    string
	End      string
	Timezone string
}

type Vault struct {
	Policies             []string
	Role                 string
	Namespace            *string
	Cluster              string
	Env                  *bool
	DisableFile          *bool
	ChangeMode           *string
	ChangeSignal         *string
	AllowTokenExpiration *bool
}

type TaskCSIPluginConfig struct {
	ID                  string
	Type                string
	MountDir            string
	StagePublishBaseDir string
	HealthTimeout       time.Duration
}
