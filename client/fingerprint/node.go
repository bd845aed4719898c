package fingerprint

import (
	"maps"
	"reflect"
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
	reservable := f.Reservable
	if reservable == nil && f.WithheldMHz == 0 {
		reservable = cores(f.Cores)
	}
	res.Cpu = structs.NodeCpuResources{CpuShares: int64(f.MHz), TotalCpuCores: uint16(f.Cores), ReservableCpuCores: reservable}
	n.Links = f.Links
	res.Memory.MemoryMB = int64(f.MemoryMB)
	res.Disk.DiskMB = int64(f.DiskMB)
	res.Networks = f.Networks
	n.Resources = &structs.Resources{CPU: &f.MHz, MemoryMB: &f.MemoryMB, DiskMB: &f.DiskMB, Networks: f.Networks}
}

// Renew takes what was found out later into a node and reports whether that
// changes anything. What was not found out again stays as it was, and so do the
// resources that placements were counted against: processors and disk.
func (f Facts) Renew(n *structs.Node) bool {
	changed := false
	for key, value := range f.Attributes {
		if n.Attributes[key] != value {
			n.Attributes[key] = value
			changed = true
		}
	}
	for key, value := range f.Links {
		if n.Links[key] != value {
			if n.Links == nil {
				n.Links = map[string]string{}
			}
			n.Links[key] = value
			changed = true
		}
	}
	res := n.NodeResources
	if res == nil {
		return changed
	}
	if f.MemoryMB > 0 && res.Memory.MemoryMB != int64(f.MemoryMB) {
		res.Memory.MemoryMB = int64(f.MemoryMB)
		changed = true
	}
	if len(f.Networks) > 0 && !reflect.DeepEqual(res.Networks, f.Networks) {
		res.Networks = f.Networks
		changed = true
	}
	if changed && n.Resources != nil {
		memory := int(res.Memory.MemoryMB)
		n.Resources.MemoryMB, n.Resources.Networks = &memory, res.Networks
	}
	return changed
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
