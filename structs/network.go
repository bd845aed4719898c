package structs

type NetworkResource struct {
	Mode          string
	Device        string
	CIDR          string
	IP            string
	DNS           *DNSConfig
	ReservedPorts []Port
	DynamicPorts  []Port
	Hostname      string
	MBits         *int
	CNI           *CNIConfig
}

type Port struct {
	Label           string
	Value           int
	To              int
	HostNetwork     string
	IgnoreCollision bool
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
