package structs

// NetworkResource is a network that a group asks for, that an allocation
// has, or that a node offers. Zero values are left out of its JSON.
type NetworkResource struct {
	Mode          string     `json:",omitempty" change:"replace"` // default host (unset); none bridge host cni/<name>
	Device        string     `json:",omitempty" change:"replace"` // legacy, accepted
	CIDR          string     `json:",omitempty" change:"replace"` // legacy
	IP            string     `json:",omitempty" change:"replace"` // set by the scheduler
	DNS           *DNSConfig `json:",omitempty" change:"replace"`
	ReservedPorts []Port     `json:",omitempty" change:"replace"` // API form; HCL uses port with static
	DynamicPorts  []Port     `json:",omitempty" change:"replace"` // labels unique in the group
	Hostname      string     `json:",omitempty" change:"replace"` // DNS name or interpolation; bridge mode; valid DNS name
	MBits         *int       `json:",omitempty" change:"ignore"`  // deprecated, warning
	CNI           *CNIConfig `json:",omitempty" change:"replace"`
}

// Port is a host port that is asked for or was given.
type Port struct {
	Label           string `json:",omitempty" change:"replace"` // required; used in NOMAD_PORT_<label>
	Value           int    `json:",omitempty" change:"replace"` // default 0 (dynamic 20000-32000); 1..65535; unique per host network
	To              int    `json:",omitempty" change:"replace"` // default 0 (same as host port); -1 = dynamic value; 0..65535
	HostNetwork     string `json:",omitempty" change:"replace"` // default "default"; client host_network name
	IgnoreCollision bool   `json:",omitempty" change:"replace"` // only host mode
}

// PortMapping is a host port that an allocation has, and what it maps to.
type PortMapping struct {
	Label  string
	Value  int
	To     int
	HostIP string
}

// DNSConfig is written to the task's resolv.conf.
type DNSConfig struct {
	Servers  []string `change:"replace"` // IPs
	Searches []string `change:"replace"`
	Options  []string `change:"replace"`
}

// CNIConfig is passed to a CNI network.
type CNIConfig struct {
	Args map[string]string `change:"replace"` // map of strings; no ";" in keys or values; keys unique in group
}
