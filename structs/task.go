package structs

import "time"

// Task is one process, container or machine, run by a driver.
type Task struct {
	Name            string                 `change:"replace"` // required; unique; no / or backslash or NUL; not "alloc"
	Driver          string                 `change:"replace"` // docker exec raw_exec java qemu or plugin; required
	User            string                 `change:"replace"` // default driver default (nobody for exec on unix); client user.denylist checked
	Lifecycle       *TaskLifecycle         `change:"replace"`
	Config          map[string]any         `change:"replace"` // checked against driver schema on client (and validate API if driver known)
	Constraints     []*Constraint          `change:"inplace"`
	Affinities      []*Affinity            `change:"replace"`
	Env             map[string]string      `change:"replace"` // interpolated
	Services        []*Service             `change:"inplace"` // no connect in task service
	Resources       *Resources             `change:"replace"` // default cpu 100 memory 300
	RestartPolicy   *RestartPolicy         `change:"inplace"` // default group restart; merged over group restart
	Meta            map[string]string      `change:"replace"` // merged over group over job
	KillTimeout     *time.Duration         `change:"inplace"` // default 5s; >=0; capped by client max_kill_timeout (30s); <= progress_deadline for service
	LogConfig       *LogConfig             `change:"replace"`
	Artifacts       []*TaskArtifact        `change:"replace"`
	Vault           *Vault                 `change:"replace"`
	Consul          *Consul                `change:"replace"`
	Templates       []*Template            `change:"replace"` // unique destinations
	DispatchPayload *DispatchPayloadConfig `change:"replace"`
	VolumeMounts    []*VolumeMount         `change:"replace"`
	CSIPluginConfig *TaskCSIPluginConfig   `json:",omitempty" change:"replace"` // needs csi-register-plugin
	Leader          bool                   `change:"replace"`                   // when leader stops others are stopped; max one
	ShutdownDelay   time.Duration          `change:"inplace"`                   // default 0; >=0
	KillSignal      string                 `change:"inplace"`                   // default SIGINT, or the driver's; driver must support
	Kind            string                 `change:"replace"`                   // normally injected by server
	ScalingPolicies []*ScalingPolicy       `change:"inplace"`                   // label cpu or mem; refused
	Secrets         []*Secret              `change:"replace"`                   // unique names
	Identity        *WorkloadIdentity      `change:"replace"`                   // the one named "default", always there
	Identities      []*WorkloadIdentity    `change:"replace"`                   // those that are not named "default"
	Actions         []*Action              `change:"inplace"`                   // unique names
	Schedule        *TaskSchedule          `change:"replace"`                   // refused: task schedules need ent
}

// TaskLifecycle says when a task runs relative to its group's main tasks.
type TaskLifecycle struct {
	Hook    string `change:"replace"` // prestart poststart poststop; required
	Sidecar bool   `change:"replace"`
}

// LogConfig bounds a task's log files, each stream by itself.
type LogConfig struct {
	MaxFiles      *int  `change:"replace"`                  // default 10; >=1
	MaxFileSizeMB *int  `change:"replace"`                  // default 10 MB; >=1; max_files*max_file_size < ephemeral_disk.size
	Enabled       *bool `json:",omitempty" change:"ignore"` // deprecated; use disabled
	Disabled      *bool `change:"replace"`
}

// DispatchPayloadConfig says where a dispatch's payload is written.
type DispatchPayloadConfig struct {
	File string `change:"replace"` // path under local/; must not escape
}

// TaskArtifact is fetched into the task directory before the task starts.
type TaskArtifact struct {
	GetterSource   *string           `change:"replace"` // go-getter URL: http(s) git hg s3 gcs file archive; required
	GetterOptions  map[string]string `change:"replace"` // go-getter options (checksum, archive, sshkey, ...); checksum must be type:hex
	GetterHeaders  map[string]string `change:"replace"` // http headers
	GetterMode     *string           `change:"replace"` // default any; any file dir
	GetterInsecure *bool             `change:"replace"`
	RelativeDest   *string           `change:"replace"` // default local/ (file mode: local/<basename>); relative path; must stay inside task dir
	Chown          bool              `change:"replace"` // owner = task user
}

// Action is a named command that can be run in a task.
type Action struct {
	Name    string   `change:"inplace"` // 1..128 chars, no whitespace or NUL; required
	Command string   `change:"inplace"` // required
	Args    []string `change:"inplace"`
}

// Secret is fetched from a provider and used as ${secret.name.key}.
type Secret struct {
	Name     string            `change:"replace"` // ^[a-zA-Z0-9_]{1,128}$; required unique
	Provider string            `change:"replace"` // nomad vault <plugin name>; required; vault needs vault block
	Path     string            `change:"replace"` // required
	Config   map[string]any    `change:"replace"` // nomad: namespace; vault: engine (kv_v1 kv_v2); not for plugin providers
	Env      map[string]string `change:"replace"` // only plugin providers
}

// TaskSchedule pauses a task outside of certain hours.
type TaskSchedule struct {
	Cron *TaskScheduleCron `change:"replace"`
}

// TaskScheduleCron is the hours of a TaskSchedule.
type TaskScheduleCron struct {
	Start    string `change:"replace"` // 6 cron fields; no "/" or ","
	End      string `change:"replace"` // 2 cron fields (min hour); no "/" or ","
	Timezone string `change:"replace"` // default Local; IANA
}

// Vault gives a task a Vault token.
type Vault struct {
	Policies             []string `change:"replace"` // legacy; with identity the role decides
	Role                 string   `change:"replace"` // default client create_from_role / default
	Namespace            *string  `change:"replace"` // Vault namespace
	Cluster              string   `change:"replace"` // default "default"; non-default refused
	Env                  *bool    `change:"replace"` // default true; VAULT_TOKEN, VAULT_NAMESPACE
	DisableFile          *bool    `change:"replace"` // when false token in secrets/vault_token
	ChangeMode           *string  `change:"replace"` // default restart; noop restart signal
	ChangeSignal         *string  `change:"replace"` // default SIGHUP; signal; required with signal
	AllowTokenExpiration *bool    `change:"replace"` // do not renew
}

// TaskCSIPluginConfig makes a task a CSI plugin.
type TaskCSIPluginConfig struct {
	ID                  string        `change:"replace"` // required
	Type                string        `change:"replace"` // node controller monolith; required
	MountDir            string        `change:"replace"` // default /csi
	StagePublishBaseDir string        `change:"replace"` // default /local/csi; not inside mount_dir
	HealthTimeout       time.Duration `change:"replace"` // default 30s
}
