package structs

// Resources are what a task asks for: CPU in MHz, memory and disk in MB.
type Resources struct {
	CPU         *int               `change:"replace"` // default 100 MHz; >=1; not with cores
	Cores       *int               `change:"replace"` // default 0; >=0; not with cpu
	MemoryMB    *int               `change:"replace"` // default 300 MB; >=10
	MemoryMaxMB *int               `change:"replace"` // default 0; 0, -1 (no limit) or >= memory; needs memory_oversubscription_enabled in scheduler config
	DiskMB      *int               `change:"ignore"`  // default 0; refused > 0 at task level
	Networks    []*NetworkResource `change:"replace"` // legacy; use group network
	Devices     []*RequestedDevice `change:"replace"`
	NUMA        *NUMAResource      `change:"replace"` // refused
	SecretsMB   *int               `change:"replace"` // default 0 (1 MB tmpfs); 0..memory; size of secrets tmpfs in MB, taken from memory
	IOPS        *int               `change:"ignore"`  // removed; ignored
}

// NUMAResource binds a task to memory nodes. It is kept, not acted upon.
type NUMAResource struct {
	Affinity string   `change:"replace"` // default none; none prefer require
	Devices  []string `change:"replace"` // subset of device names; must be requested devices
}

// RequestedDevice is devices that a task asks for.
type RequestedDevice struct {
	Name        string        `change:"replace"` // <type> | <vendor>/<type> | <vendor>/<type>/<name>; required
	Count       *uint64       `change:"replace"` // default 1; >=0; 0 is not refused
	Constraints []*Constraint `change:"replace"` // ${device.attr.*} ${device.ids} ${device.type} ${device.vendor} ${device.model}
	Affinities  []*Affinity   `change:"replace"` // as constraint
}
