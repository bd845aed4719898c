package structs

type NetworkResource struct {
	Mode          string     `json:",omitempty"`
	Device        string     `json:",omitempty"`
	CIDR          string     `json:",omitempty"`
	IP            string     `json:",omitempty"`
	DNS           *DNSConfig `json:",omitempty"`
	ReservedPorts []Port     `json:",omitempty"`
	DynamicPorts  []Port     `json:",omitempty"`
	Hostname      string     `json:",omitempty"`
	MBits         *int       `json:",omitempty"`
	CNI           *CNIConfig `json:",omitempty"`
}

type Port struct {
	Label           string `json:",omitempty"`
	Value           int    `json:",omitempty"`
	To              int    `json:",omitempty"`
	HostNetwork     string `json:",omitempty"`
	IgnoreCollision bool   `json:",omitempty"`
}

type PortMapping struct {
	Label  string
	Value  int
	To     int
	HostIP string
}

type DNSConfig struct {
	Servers  []string
	Searches []string
	Options  []string
}

type CNIConfig struct {
	Args map[string]string
}
