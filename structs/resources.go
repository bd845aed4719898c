package structs

type Resources struct {
	CPU         *int
	Cores       *int
	MemoryMB    *int
	MemoryMaxMB *int
	DiskMB      *int
	Networks    []*NetworkResource
	Devices     []*RequestedDevice
	NUMA        *NUMAResource
	SecretsMB   *int
	IOPS        *int
}

type NUMAResource struct {
	Affinity string
	Devices  []string
}

type RequestedDevice struct {
	Name        string
	Count       *uint64
	Constraints []*Constraint
	Affinities  []*Affinity
}
