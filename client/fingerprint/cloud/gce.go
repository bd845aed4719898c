package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
)

func isGCE(f firmware) bool {
	return f.product == "Google Compute Engine" || f.vendor == "Google" || f.bios == "Google"
}

type gceMachine struct {
	Hostname    string
	ID          json.Number
	CPUPlatform string
	MachineType string
	Zone        string
	Scheduling  struct {
		AutomaticRestart  string
		OnHostMaintenance string
		Preemptible       string
	}
	Tags              []string
	Attributes        map[string]string
	NetworkInterfaces []struct {
		Network       string
		IP            string
		AccessConfigs []struct{ ExternalIP string }
	}
}

func lookGCE(ctx context.Context, a *asker, found *Found) error {
	data, err := a.get(ctx, "/computeMetadata/v1/instance/?recursive=true")
	if err != nil {
		return err
	}
	var m gceMachine
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read what it tells: %w", err)
	}
	found.set("platform.gce.machine-type", path.Base(m.MachineType))
	found.set("platform.gce.zone", path.Base(m.Zone))
	found.set("platform.gce.cpu-platform", m.CPUPlatform)
	found.set("platform.gce.scheduling.automatic-restart", m.Scheduling.AutomaticRestart)
	found.set("platform.gce.scheduling.on-host-maintenance", m.Scheduling.OnHostMaintenance)
	found.set("platform.gce.scheduling.preemptible", m.Scheduling.Preemptible)
	found.set("unique.platform.gce.hostname", m.Hostname)
	found.set("unique.platform.gce.id", m.ID.String())
	for _, tag := range m.Tags {
		found.set(unique("platform.gce.tag.", tag), "true")
	}
	for name, value := range m.Attributes {
		found.set(unique("platform.gce.attr.", name), value)
	}
	for _, n := range m.NetworkInterfaces {
		name := path.Base(n.Network)
		found.set("platform.gce.network."+name, "true")
		found.set("unique.platform.gce.network."+name+".ip", n.IP)
		for i, access := range n.AccessConfigs {
			found.set("unique.platform.gce.network."+name+".external-ip."+strconv.Itoa(i), access.ExternalIP)
		}
	}
	if id := m.ID.String(); id != "" {
		found.Links["gce"] = id
	}
	return nil
}

// unique puts what people mark as different on every machine below unique, so
// that it doesn't make a class of nodes for each.
func unique(prefix, name string) string {
	if rest, marked := strings.CutPrefix(name, "unique."); marked {
		return "unique." + prefix + rest
	}
	return prefix + name
}
