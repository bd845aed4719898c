package structs

import "time"

// ConsulGateway makes a service a gateway of Consul's mesh.
type ConsulGateway struct {
	Proxy       *ConsulGatewayProxy           `change:"replace"`
	Ingress     *ConsulIngressConfigEntry     `change:"replace"`
	Terminating *ConsulTerminatingConfigEntry `change:"replace"`
	Mesh        *ConsulMeshConfigEntry        `change:"replace"`
}

// ConsulGatewayBindAddress is an address that a gateway binds.
type ConsulGatewayBindAddress struct {
	Name    string `change:"replace"` // required
	Address string `change:"replace"` // IP; required
	Port    int    `change:"replace"` // port; required
}

// ConsulGatewayProxy configures a gateway's proxy.
type ConsulGatewayProxy struct {
	ConnectTimeout                  *time.Duration                       `change:"replace"` // default 5s
	EnvoyGatewayBindTaggedAddresses bool                                 `change:"replace"`
	EnvoyGatewayBindAddresses       map[string]*ConsulGatewayBindAddress `change:"replace"`
	EnvoyGatewayNoDefaultBind       bool                                 `change:"replace"`
	EnvoyDNSDiscoveryType           string                               `change:"replace"` // default LOGICAL_DNS; STRICT_DNS LOGICAL_DNS
	Config                          map[string]any                       `change:"replace"`
}

// ConsulGatewayTLSSDSConfig is where a gateway finds its certificate.
type ConsulGatewayTLSSDSConfig struct {
	ClusterName  string `change:"replace"`
	CertResource string `change:"replace"`
}

// ConsulGatewayTLSConfig is a gateway's TLS.
type ConsulGatewayTLSConfig struct {
	Enabled       bool                       `change:"replace"`
	TLSMinVersion string                     `change:"replace"` // TLS_AUTO TLSv1_0..TLSv1_3
	TLSMaxVersion string                     `change:"replace"` // as min
	CipherSuites  []string                   `change:"replace"` // Consul cipher names
	SDS           *ConsulGatewayTLSSDSConfig `change:"replace"`
}

// ConsulHTTPHeaderModifiers changes headers that pass a gateway.
type ConsulHTTPHeaderModifiers struct {
	Add    map[string]string `change:"replace"`
	Set    map[string]string `change:"replace"`
	Remove []string          `change:"replace"`
}

// ConsulIngressService is a service behind an ingress gateway.
type ConsulIngressService struct {
	Name                  string                     `change:"replace"` // name or *; required
	Hosts                 []string                   `change:"replace"` // not for tcp
	TLS                   *ConsulGatewayTLSConfig    `change:"replace"`
	RequestHeaders        *ConsulHTTPHeaderModifiers `change:"replace"`
	ResponseHeaders       *ConsulHTTPHeaderModifiers `change:"replace"`
	MaxConnections        *uint32                    `change:"replace"`
	MaxPendingRequests    *uint32                    `change:"replace"`
	MaxConcurrentRequests *uint32                    `change:"replace"`
}

// ConsulIngressListener is a port of an ingress gateway.
type ConsulIngressListener struct {
	Port     int                     `change:"replace"` // port; required
	Protocol string                  `change:"replace"` // default tcp; tcp http http2 grpc
	Services []*ConsulIngressService `change:"replace"`
}

// ConsulIngressConfigEntry configures an ingress gateway.
type ConsulIngressConfigEntry struct {
	TLS       *ConsulGatewayTLSConfig  `change:"replace"`
	Listeners []*ConsulIngressListener `change:"replace"`
}

// ConsulLinkedService is a service behind a terminating gateway.
type ConsulLinkedService struct {
	Name     string `change:"replace"` // required
	CAFile   string `change:"replace"` // path; set with cert and key
	CertFile string `change:"replace"` // path
	KeyFile  string `change:"replace"` // path
	SNI      string `change:"replace"`
}

// ConsulTerminatingConfigEntry configures a terminating gateway.
type ConsulTerminatingConfigEntry struct {
	Services []*ConsulLinkedService `change:"replace"`
}

// ConsulMeshConfigEntry configures a mesh gateway.
type ConsulMeshConfigEntry struct {
}
