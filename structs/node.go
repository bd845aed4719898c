package structs

import "time"

// LossWindow is how soon one loss of a node follows on another to count on.
const LossWindow = 10 * time.Minute

// Node is a machine that runs allocations.
type Node struct {
	// SecretID authenticates the node; the API never shows it.
	SecretID              string `json:"-" codec:"SecretID"`
	ID                    string
	Datacenter            string
	Name                  string
	HTTPAddr              string
	TLSEnabled            bool
	Attributes            map[string]string
	Resources             *Resources
	Reserved              *Resources
	NodeResources         *NodeResources
	ReservedResources     *NodeReservedResources
	Links                 map[string]string
	Meta                  map[string]string
	NodeClass             string
	ComputedClass         string // hash of what scheduling may look at, unique attributes aside
	NodePool              string
	CgroupParent          string
	Drain                 bool
	DrainStrategy         *DrainStrategy
	SchedulingEligibility string
	Status                string
	StatusDescription     string
	StatusUpdatedAt       int64
	// SilentSince is when (Unix nanoseconds) it was found that the node is silent
	// together with so many others that nothing is moved away from it yet; 0 if it
	// isn't held back so.
	SilentSince int64 `json:",omitempty"`
	// Losses is how often in a row it was lost, each time within LossWindow of the
	// time before, the last at LostAt (Unix seconds).
	Losses int   `json:",omitempty"`
	LostAt int64 `json:",omitempty"`
	// QuarantineUntil is until when (Unix nanoseconds) it takes no placements since
	// it comes and goes; 0 if it isn't in quarantine.
	QuarantineUntil      int64 `json:",omitempty"`
	Events               []*NodeEvent
	Drivers              map[string]*DriverInfo
	HostVolumes          map[string]*HostVolumeInfo
	GCVolumesOnNodeGC    bool
	HostNetworks         map[string]*HostNetworkInfo
	CSIControllerPlugins map[string]*CSIInfo
	CSINodePlugins       map[string]*CSIInfo
	LastDrain            *DrainMetadata
	CreateIndex          uint64
	ModifyIndex          uint64
	NodeMaxAllocs        int
}

// NodeResources is what a machine has.
type NodeResources struct {
	Cpu            NodeCpuResources
	Memory         NodeMemoryResources
	Disk           NodeDiskResources
	Networks       []*NetworkResource
	Devices        []*NodeDeviceResource
	MinDynamicPort int
	MaxDynamicPort int
}

// NodeCpuResources is a machine's cores and their sum in MHz.
type NodeCpuResources struct {
	CpuShares          int64
	TotalCpuCores      uint16
	ReservableCpuCores []uint16
}

// NodeMemoryResources is in MB.
type NodeMemoryResources struct {
	MemoryMB int64
}

// NodeDiskResources is in MB.
type NodeDiskResources struct {
	DiskMB int64
}

// NodeReservedResources is what a node keeps for itself.
type NodeReservedResources struct {
	Cpu      NodeReservedCpuResources
	Memory   NodeReservedMemoryResources
	Disk     NodeReservedDiskResources
	Networks NodeReservedNetworkResources
}

// NodeReservedCpuResources is in MHz.
type NodeReservedCpuResources struct {
	CpuShares uint64
}

// NodeReservedMemoryResources is in MB.
type NodeReservedMemoryResources struct {
	MemoryMB uint64
}

// NodeReservedDiskResources is in MB.
type NodeReservedDiskResources struct {
	DiskMB uint64
}

// NodeReservedNetworkResources is host ports, like 22,80,8000-8100.
type NodeReservedNetworkResources struct {
	ReservedHostPorts string
}

// DriverInfo is a driver as a node sees it.
type DriverInfo struct {
	Attributes        map[string]string
	Detected          bool
	Healthy           bool
	HealthDescription string
	UpdateTime        time.Time
}

// HostVolumeInfo is a folder that a node offers as a volume.
type HostVolumeInfo struct {
	Path     string
	ReadOnly bool
	ID       string
}

// HostNetworkInfo is a named network of a node.
type HostNetworkInfo struct {
	Name          string
	CIDR          string
	Interface     string
	ReservedPorts string
}

// NodeEvent is something that happened to a node.
type NodeEvent struct {
	Message     string
	Subsystem   string
	Details     map[string]string
	Timestamp   time.Time
	CreateIndex uint64
}

// NodeMetaApplyRequest sets metadata of a node while it runs; nil unsets a key.
type NodeMetaApplyRequest struct {
	NodeID string
	Meta   map[string]*string
}

// NodeMetaResponse is a node's metadata: all of it, what was set while it runs,
// and what is configured.
type NodeMetaResponse struct {
	Meta    map[string]string
	Dynamic map[string]*string
	Static  map[string]string
}

// NodeListStub is a node in a list.
type NodeListStub struct {
	Address               string
	ID                    string
	Attributes            map[string]string `json:",omitempty"`
	Datacenter            string
	Name                  string
	NodeClass             string
	NodePool              string
	Version               string
	Drain                 bool
	SchedulingEligibility string
	Status                string
	StatusDescription     string
	Drivers               map[string]*DriverInfo
	NodeResources         *NodeResources         `json:",omitempty"`
	ReservedResources     *NodeReservedResources `json:",omitempty"`
	LastDrain             *DrainMetadata
	CreateIndex           uint64
	ModifyIndex           uint64
}
