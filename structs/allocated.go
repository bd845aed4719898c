package structs

// AllocatedResources is what an allocation was given.
type AllocatedResources struct {
	Tasks  map[string]*AllocatedTaskResources
	Shared AllocatedSharedResources
}

// AllocatedTaskResources is what a task was given.
type AllocatedTaskResources struct {
	Cpu      AllocatedCpuResources
	Memory   AllocatedMemoryResources
	Networks []*NetworkResource
	Devices  []*AllocatedDeviceResource
}

// AllocatedSharedResources is what an allocation's tasks share.
type AllocatedSharedResources struct {
	DiskMB   int64
	Networks []*NetworkResource
	Ports    []PortMapping
}

// AllocatedCpuResources is in MHz; ReservedCores are the numbers of the cores
// that the task has to itself, which the shares are the sum of.
type AllocatedCpuResources struct {
	CpuShares     int64
	ReservedCores []uint16 `json:",omitempty"`
}

// AllocatedMemoryResources is in MB.
type AllocatedMemoryResources struct {
	MemoryMB    int64
	MemoryMaxMB int64
}

// AllocatedDeviceResource is device instances that a task was given.
type AllocatedDeviceResource struct {
	Vendor    string
	Type      string
	Name      string
	DeviceIDs []string
}
