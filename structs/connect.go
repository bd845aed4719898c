package structs

import "time"

// Consul says which Consul a group or task uses.
type Consul struct {
	Namespace string `change:"replace"` // default "default"; ent Consul
	Cluster   string `change:"replace"` // default "default"; non-default refused
	Partition string `change:"replace"` // adds implicit constraint
}

// ConsulConnect makes a service part of Consul's mesh.
type ConsulConnect struct {
	Native         bool                  `change:"replace"` // task and port required
	Gateway        *ConsulGateway        `change:"replace"`
	SidecarService *ConsulSidecarService `change:"replace"` // exactly one of native, sidecar_service, gateway
	SidecarTask    *SidecarTask          `change:"replace"` // overrides injected Envoy task
}

// ConsulSidecarService is the registration of a sidecar proxy.
type ConsulSidecarService struct {
	Tags                   []string          `change:"replace"` // default service tags
	Port                   string            `change:"replace"` // default connect-proxy-<service> dynamic
	Proxy                  *ConsulProxy      `change:"replace"`
	DisableDefaultTCPCheck bool              `change:"replace"`
	Meta                   map[string]string `change:"replace"`
}

// SidecarTask overrides parts of the sidecar proxy's task.
type SidecarTask struct {
	Name          string              `change:"replace"` // default connect-proxy-<service>
	Driver        string              `change:"replace"` // default docker
	User          string              `change:"replace"`
	Config        map[string]any      `change:"replace"`
	Env           map[string]string   `change:"replace"`
	Resources     *Resources          `change:"replace"`
	Meta          map[string]string   `change:"replace"`
	KillTimeout   *time.Duration      `change:"replace"` // default 5s
	LogConfig     *LogConfig          `change:"replace"`
	ShutdownDelay *time.Duration      `change:"replace"` // default 0
	KillSignal    string              `change:"replace"`
	VolumeMounts  []*VolumeMount      `change:"replace"`
	Identities    []*WorkloadIdentity `change:"replace"`
}

// ConsulProxy configures a sidecar proxy.
type ConsulProxy struct {
	LocalServiceAddress string                  `change:"replace"` // default 127.0.0.1
	LocalServicePort    int                     `change:"replace"` // default service port
	Expose              *ConsulExposeConfig     `change:"replace"`
	ExposeConfig        *ConsulExposeConfig     `change:"replace"`
	Upstreams           []*ConsulUpstream       `change:"replace"`
	TransparentProxy    *ConsulTransparentProxy `change:"replace"`
	Config              map[string]any          `change:"replace"` // Envoy opaque config
}

// ConsulMeshGateway says how an upstream is reached over gateways.
type ConsulMeshGateway struct {
	Mode string `change:"replace"` // none local remote
}

// ConsulUpstream is a service that a sidecar proxy reaches.
type ConsulUpstream struct {
	DestinationName      string             `change:"replace"` // required
	DestinationNamespace string             `change:"replace"`
	DestinationPeer      string             `change:"replace"`
	DestinationPartition string             `change:"replace"`
	DestinationType      string             `change:"replace"` // default service; service prepared_query
	LocalBindPort        int                `change:"replace"` // 1..65535; required unless socket or tproxy
	Datacenter           string             `change:"replace"`
	LocalBindAddress     string             `change:"replace"` // default 127.0.0.1
	LocalBindSocketPath  string             `change:"replace"`
	LocalBindSocketMode  string             `change:"replace"` // octal
	MeshGateway          *ConsulMeshGateway `change:"replace"`
	Config               map[string]any     `change:"replace"`
}

// ConsulTransparentProxy redirects a task's traffic through its proxy.
type ConsulTransparentProxy struct {
	UID                  string   `change:"replace"` // default 101; uid string
	OutboundPort         uint16   `change:"replace"` // default 15001
	ExcludeInboundPorts  []string `change:"replace"` // labels or numbers
	ExcludeOutboundPorts []uint16 `change:"replace"`
	ExcludeOutboundCIDRs []string `change:"replace"` // CIDR
	ExcludeUIDs          []string `change:"replace"`
	NoDNS                bool     `change:"replace"`
}

// ConsulExposeConfig is paths that bypass the proxy.
type ConsulExposeConfig struct {
	Paths []*ConsulExposePath `change:"replace"`
	Path  []*ConsulExposePath `change:"replace"`
}

// ConsulExposePath is a path that bypasses the proxy.
type ConsulExposePath struct {
	Path          string `change:"replace"`
	Protocol      string `change:"replace"` // http http2
	LocalPathPort int    `change:"replace"` // port
	ListenerPort  string `change:"replace"` // port label
}
