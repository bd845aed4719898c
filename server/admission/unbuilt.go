package admission

import (
	"fmt"
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
		for _, n := range g.Networks {
			if n.Mode == "bridge" || strings.HasPrefix(n.Mode, "cni/") {
				out = append(out, fmt.Sprintf("networks of mode %q (%s)", n.Mode, place))
			}
		}
		for _, s := range g.Services {
			if s.Connect != nil {
				out = append(out, fmt.Sprintf("connect blocks (%s, service %q)", place, s.Name))
			}
		}
		for _, t := range g.Tasks {
			for _, block := range unbuiltIn(t) {
				out = append(out, fmt.Sprintf("%s (%s, task %q)", block, place, t.Name))
			}
		}
	}
	return out
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
	add(t.DispatchPayload != nil && t.DispatchPayload.File != "", "dispatch_payload blocks")
	add(t.Identity != nil && (t.Identity.Env || t.Identity.File) || len(t.Identities) > 0, "identity blocks")
	return out
}
