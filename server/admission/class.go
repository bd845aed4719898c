package admission

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// ComputedClass is a hash of everything about a node that the conditions of
// jobs may look at, what is unique to it aside: nodes of one class suit the
// same jobs, as long as those ask for nothing unique.
func ComputedClass(n *structs.Node) string {
	h := fnv.New64a()
	// Each text is written with its length, so that no two lists look alike.
	write := func(texts ...string) {
		var size [8]byte
		for _, t := range texts {
			binary.LittleEndian.PutUint64(size[:], uint64(len(t)))
			_, _ = h.Write(size[:]) // a hash never fails to write
			_, _ = h.Write([]byte(t))
		}
	}
	write(n.Datacenter, n.NodePool, n.NodeClass)
	for _, part := range []map[string]string{n.Attributes, n.Meta} {
		write("")
		for _, k := range slices.Sorted(maps.Keys(part)) {
			if !strings.HasPrefix(k, "unique.") {
				write(k, part[k])
			}
		}
	}
	write("")
	for _, name := range slices.Sorted(maps.Keys(n.Drivers)) {
		if d := n.Drivers[name]; d != nil {
			write(name, fmt.Sprint(d.Detected, d.Healthy))
		}
	}
	write("")
	for _, name := range slices.Sorted(maps.Keys(n.HostVolumes)) {
		if v := n.HostVolumes[name]; v != nil {
			write(name, fmt.Sprint(v.ReadOnly))
		}
	}
	write("")
	write(slices.Sorted(maps.Keys(n.HostNetworks))...)
	writeResources(n.NodeResources, write)
	return fmt.Sprintf("v1:%d", h.Sum64())
}

func writeResources(r *structs.NodeResources, write func(texts ...string)) {
	if r == nil {
		return
	}
	write("")
	for _, net := range r.Networks {
		if net != nil {
			write(net.Mode)
		}
	}
	write("", fmt.Sprint(r.Cpu.TotalCpuCores))
	for _, d := range r.Devices {
		if d == nil {
			continue
		}
		write(d.Vendor, d.Type, d.Name)
		for _, k := range slices.Sorted(maps.Keys(d.Attributes)) {
			if a := d.Attributes[k]; a != nil {
				write(k, fmt.Sprint(structs.Value(a.FloatVal), structs.Value(a.IntVal), structs.Value(a.StringVal), structs.Value(a.BoolVal), a.Unit))
			}
		}
		for _, i := range d.Instances {
			if i != nil {
				write(fmt.Sprint(i.Healthy))
			}
		}
	}
}
