package structs

import "time"

type Consul struct {
	Namespace string
	Cluster   string
	Partition string
}

type ConsulConnect struct {
	Native         bool
	Gateway        *ConsulGateway
	SidecarService *ConsulSidecarService
	SidecarTask    *SidecarTask
}

type ConsulSidecarService struct {
	Tags                   []string
	Port                   string
	Proxy                  *ConsulProxy
	DisableDefaultTCPCheck bool
	Meta                   map[string]string
}

type SidecarTask struct {
	Name          string
	Driver        string
	User          string
	Config        map[string]any
	Env           map[string]string
	Resources     *Resources
	Meta          map[string]string
	KillTimeout   *time.Duration
	LogConfig     *LogConfig
	ShutdownDelay *time.Duration
	KillSignal    string
	VolumeMounts  []*VolumeMount
	Identities    []*WorkloadIdentity
}

type ConsulProxy struct {
	LocalServiceAddress string
	LocalServicePort    int
	Expose              *ConsulExposeConfig
	ExposeConfig        *ConsulExposeConfig
	Upstreams           []*ConsulUpstream
	TransparentProxy    *ConsulTransparentProxy
	Config              map[string]any
}

type ConsulMeshGateway struct {
	Mode string
}

type ConsulUpstream struct {
	DestinationName      string
	DestinationNamespace string
	DestinationPeer      string
	DestinationPartition string
	DestinationType      string
	LocalBindPort        int
	Datacenter           string
	LocalBindAddress     string
	LocalBindSocketPath  string
	LocalBindSocketMode  string
	MeshGateway          *ConsulMeshGateway
	Config               map[string]any
}

type ConsulTransparentProxy struct {
	UID                  string
	OutboundPort         uint16
	ExcludeInboundPorts  []string
	ExcludeOutboundPorts []uint16
	ExcludeOutboundCIDRs []string
	ExcludeUIDs          []string
	NoDNS                bool
}

type ConsulExposeConfig struct {
	Paths []*ConsulExposePath
	Path  []*ConsulExposePath
}

type ConsulExposePath struct {
	Path          string
	Protocol      string
	LocalPathPort int
	ListenerPort  string
}
