package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/structs"
)

// unbuilt names the blocks of a job that no node can run yet, each with its
// place. What needs Consul or Vault is not among them: constraints that no
// node meets keep it waiting, as wherever those are absent.
func unbuilt(job *structs.Job) []string {
	var out []string
	for _, g := range job.TaskGroups {
		place := fmt.Sprintf("group %q", g.GetName())
		out = append(out, unbuiltOf(g, place)...)
		for _, t := range g.Tasks {
			for _, block := range unbuiltIn(t) {
				out = append(out, fmt.Sprintf("%s (%s, task %q)", block, place, t.Name))
			}
		}
	}
	return out
}

func unbuiltOf(g *structs.TaskGroup, place string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(g.Volumes)) {
		if what := unbuiltVolume(g.Volumes[name]); what != "" {
			out = append(out, fmt.Sprintf("%s (%s, volume %q)", what, place, name))
		}
	}
	for _, n := range g.Networks {
		if strings.HasPrefix(n.Mode, structs.NetworkModeCNI) {
			out = append(out, fmt.Sprintf("networks of mode %q (%s)", n.Mode, place))
		}
	}
	for _, s := range g.Services {
		if s.Connect != nil {
			out = append(out, fmt.Sprintf("connect blocks (%s, service %q)", place, s.Name))
		}
	}
	return out
}

// unbuiltVolume names what no node can give of a volume: only host volumes that
// nodes are configured with exist.
func unbuiltVolume(v *structs.VolumeRequest) string {
	switch {
	case v == nil:
	case v.Type == structs.VolumeTypeCSI:
		return "CSI volumes"
	case v.PerAlloc:
		return "volumes of their own for each allocation (per_alloc)"
	case v.Sticky:
		return "sticky volumes"
	}
	return ""
}

func unbuiltIn(t *structs.Task) []string {
	var out []string
	add := func(wanted bool, blocks string) {
		if wanted {
			out = append(out, blocks)
		}
	}
	add(len(t.Artifacts) > 0, "artifact blocks")
	add(len(t.Templates) > 0, "template blocks")
	add(len(t.Secrets) > 0, "secret blocks")
	add(t.Schedule != nil, "schedule blocks")
	add(t.CSIPluginConfig != nil, "csi_plugin blocks")
	add(t.Identity != nil && (t.Identity.Env || t.Identity.File) || len(t.Identities) > 0, "identity blocks")
	return out
}
