package drivers

// APIVersion is the only version of the driver protocol there is.
const APIVersion = "v0.1.0"

// Info names a plugin.
type Info struct {
	Name        string
	Version     string
	APIVersions []string
}

// Health is whether a driver can be used.
type Health string

// The healths of a driver.
const (
	// HealthUndetected: what the driver needs isn't there.
	HealthUndetected Health = "undetected"
	// HealthUnhealthy: it is there and doesn't work.
	HealthUnhealthy Health = "unhealthy"
	// Healthy: tasks can be started.
	Healthy Health = "healthy"
)

// Fingerprint is a driver's health and what it tells about its node.
type Fingerprint struct {
	// Attributes become node attributes: driver.docker.version and so on. The
	// attribute driver.<name> itself is the client's to set.
	Attributes  map[string]string
	Health      Health
	Description string
	// Err is set when fingerprinting itself failed.
	Err string
}

// Detected reports whether what the driver needs is there.
func (f *Fingerprint) Detected() bool { return f.Err == "" && f.Health != HealthUndetected }

// Healthy reports whether tasks can be started.
func (f *Fingerprint) Healthy() bool { return f.Err == "" && f.Health == Healthy }

// FSIsolation is how a driver shuts a task into its directory.
type FSIsolation string

// The file system isolations.
const (
	FSNone   FSIsolation = "none"
	FSChroot FSIsolation = "chroot"
	FSImage  FSIsolation = "image"
	FSUnveil FSIsolation = "unveil"
)

// NetworkMode is who owns a task's network namespace.
type NetworkMode string

// The network modes.
const (
	NetworkHost  NetworkMode = "host"
	NetworkGroup NetworkMode = "group"
	NetworkTask  NetworkMode = "task"
	NetworkNone  NetworkMode = "none"
)

// NetworkIsolation describes a network namespace.
type NetworkIsolation struct {
	Mode   NetworkMode
	Path   string
	Labels map[string]string
	Hosts  *HostsConfig
}

// HostsConfig is what goes into a namespace's hosts file.
type HostsConfig struct {
	Hostname string
	Address  string
}

// Capabilities are what a driver can do.
type Capabilities struct {
	SendSignals       bool
	Exec              bool
	FSIsolation       FSIsolation
	NetworkModes      []NetworkMode
	MustCreateNetwork bool
	// NoMounts: the driver can't show host paths inside a task.
	NoMounts bool
	// DisableLogCollection: the client makes no FIFOs; see LogPolicy.
	DisableLogCollection bool
	DynamicUsers         bool
}

// NodeConfig is what a driver learns about its node.
type NodeConfig struct {
	// ClientMinPort and ClientMaxPort bound the ports of a driver's own
	// helper processes.
	ClientMinPort uint32
	ClientMaxPort uint32
}

// Schema is the shape of a plugin's own block and of its tasks' blocks. A nil
// Plugin refuses a plugin block.
type Schema struct {
	Plugin *Spec
	Task   *Spec
}
