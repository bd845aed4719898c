package structs

import "time"

// Service is registered for each allocation of a group or task.
type Service struct {
	Name              string            `change:"inplace"` // default <job>-<group>[-<task>]; RFC 1123, <=63 chars; interpolation allowed
	Tags              []string          `change:"inplace"` // interpolated
	CanaryTags        []string          `change:"inplace"` // replace tags while canary
	EnableTagOverride bool              `change:"inplace"` // consul only
	PortLabel         string            `change:"inplace"` // port label or number (driver mode); label must exist
	AddressMode       string            `change:"inplace"`
	Address           string            `change:"inplace"` // IP or interpolation
	Checks            []ServiceCheck    `change:"inplace"`
	CheckRestart      *CheckRestart     `change:"inplace"` // merged into checks
	Connect           *ConsulConnect    `change:"replace"` // refused in task service; sub-attributes as group.service.connect
	Meta              map[string]string `change:"inplace"` // consul only
	CanaryMeta        map[string]string `change:"inplace"` // consul only
	TaggedAddresses   map[string]string `change:"inplace"` // consul only
	TaskName          string            `change:"inplace"` // task name; needed for native/script
	OnUpdate          string            `change:"inplace"` // default require_healthy; require_healthy ignore_warnings ignore; ignore_warnings only consul
	Identity          *WorkloadIdentity `change:"replace"` // aud required
	Weights           *ServiceWeights   `change:"inplace"` // consul
	Provider          string            `change:"inplace"` // default consul; consul nomad
	Cluster           string            `change:"inplace"` // default "default"; non-default refused
	Kind              string            `change:"inplace"` // "" api-gateway ingress-gateway mesh-gateway terminating-gateway; consul
	Namespace         string            `change:"inplace"` // of the provider; default the job's
}

// ServiceCheck is a health check of a service.
type ServiceCheck struct {
	Name                   string              `change:"inplace"` // default service: "<name>" check; unique in service
	Type                   string              `change:"inplace"` // consul: http tcp grpc script; nomad: http tcp; required
	Command                string              `change:"inplace"` // required for script
	Args                   []string            `change:"inplace"`
	Path                   string              `change:"inplace"` // relative URL; required for http
	Protocol               string              `change:"inplace"` // default http; http https
	PortLabel              string              `change:"inplace"` // default service port; label or number (driver); required for network checks
	Expose                 bool                `change:"inplace"` // consul http/grpc only
	AddressMode            string              `change:"inplace"` // default host; host driver alloc alloc_ipv6; auto refused; driver refused for nomad provider
	Advertise              string              `change:"inplace"` // consul
	Interval               time.Duration       `change:"inplace"` // >=1s; required
	Timeout                time.Duration       `change:"inplace"` // >=1s; required
	InitialStatus          string              `change:"inplace"` // default "" (critical); passing warning critical
	Notes                  string              `change:"inplace"` // <=255 chars; consul
	TLSServerName          string              `change:"inplace"` // consul only
	TLSSkipVerify          bool                `change:"inplace"`
	Header                 map[string][]string `change:"inplace"` // http
	Method                 string              `change:"inplace"` // default GET; HTTP method; validated for nomad provider
	CheckRestart           *CheckRestart       `change:"inplace"`
	GRPCService            string              `change:"inplace"` // grpc
	GRPCUseTLS             bool                `change:"inplace"` // grpc
	TaskName               string              `change:"inplace"` // task name; required for script in group service
	SuccessBeforePassing   int                 `change:"inplace"` // default 0; >=0; consul only; tcp/http/grpc
	FailuresBeforeCritical int                 `change:"inplace"` // default 0; >=0; consul only
	FailuresBeforeWarning  int                 `change:"inplace"` // default 0; >=0; consul only
	Body                   string              `change:"inplace"` // http
	OnUpdate               string              `change:"inplace"` // default service on_update; require_healthy ignore_warnings ignore; not ignore with check_restart
}

// CheckRestart restarts a task whose check keeps failing.
type CheckRestart struct {
	Limit          int            `change:"inplace"` // default 0 (off); >=0; consecutive failures before restart
	Grace          *time.Duration `change:"inplace"` // default 1s; >=0
	IgnoreWarnings bool           `change:"inplace"` // consul only
}

// ServiceWeights weighs instances in DNS answers of Consul.
type ServiceWeights struct {
	Passing int `change:"inplace"` // default 1; >=1
	Warning int `change:"inplace"` // default 1; >=1
}
