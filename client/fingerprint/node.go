package fingerprint

import (
	"maps"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

// Fill puts what was found out into a node.
func (f Facts) Fill(n *structs.Node) {
	if n.Attributes == nil {
		n.Attributes = map[string]string{}
	}
	maps.Copy(n.Attributes, f.Attributes)
	if n.NodeResources == nil {
		n.NodeResources = &structs.NodeResources{}
	}
	res := n.NodeResources
	res.Cpu = structs.NodeCpuResources{CpuShares: int64(f.MHz), TotalCpuCores: uint16(f.Cores), ReservableCpuCores: cores(f.Cores)}
	res.Memory.MemoryMB = int64(f.MemoryMB)
	res.Disk.DiskMB = int64(f.DiskMB)
	res.Networks = f.Networks
	n.Resources = &structs.Resources{CPU: &f.MHz, MemoryMB: &f.MemoryMB, DiskMB: &f.DiskMB, Networks: f.Networks}
}

func cores(n int) []uint16 {
	out := make([]uint16, n)
	for i := range out {
		out[i] = uint16(i)
	}
	return out
}

// Driver takes a driver's fingerprint into a node and reports whether that
// changes anything worth telling.
func Driver(n *structs.Node, name string, fp *drivers.Fingerprint, now time.Time) bool {
	info := &structs.DriverInfo{
		Attributes:        maps.Clone(fp.Attributes),
		Detected:          fp.Detected(),
		Healthy:           fp.Healthy(),
		HealthDescription: fp.Description,
		UpdateTime:        now.UTC(),
	}
	if fp.Err != "" {
		info.HealthDescription = "failed to fingerprint driver: " + fp.Err
	}
	old := n.Drivers[name]
	if old != nil && old.Detected == info.Detected && old.Healthy == info.Healthy &&
		old.HealthDescription == info.HealthDescription && maps.Equal(old.Attributes, info.Attributes) {
		return false
	}
	if n.Drivers == nil {
		n.Drivers = map[string]*structs.DriverInfo{}
	}
	n.Drivers[name] = info
	if old != nil {
		for key := range old.Attributes {
			delete(n.Attributes, key)
		}
	}
	delete(n.Attributes, "driver."+name)
	if info.Detected {
		maps.Copy(n.Attributes, info.Attributes)
		n.Attributes["driver."+name] = "1"
	}
	return true
}
