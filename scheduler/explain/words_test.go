package explain

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// TestEveryReasonIsASentence: all kinds of conditions, shortages and ports, as
// people read them of one node.
func TestEveryReasonIsASentence(t *testing.T) {
	for _, c := range []struct {
		condition, actual, want string
	}{
		{takesPlacements, "draining", "it is draining"},
		{"node pool gpu", "default", "it is in node pool default, not gpu"},
		{"datacenter dc2, eu-*", "dc1", "it is in datacenter dc1, not dc2, eu-*"},
		{"missing drivers (docker)", "not detected", "it has no healthy driver docker (not detected)"},
		{"missing compatible host volumes (data)", "read only", "it has no suitable host volume data (read only)"},
		{"missing network (cni/x)", "host", "it has no network of mode cni/x (host)"},
		{"missing host network (lan)", "none", "it has no host network lan (none)"},
		{"missing devices (acme/gpu)", "", "it has no suitable devices acme/gpu"},
		{"CSI volumes are not built yet", "", "CSI volumes are not built yet"},
		{"${attr.a} = 1", "2", "it doesn't satisfy ${attr.a} = 1 (it is: 2)"},
		{"distinct_hosts", "1 there already", "it doesn't satisfy distinct_hosts (it is: 1 there already)"},
	} {
		if got := blame([]*structs.FailedCondition{{Condition: c.condition, Actual: c.actual}}, nil, nil); got != c.want {
			t.Errorf("%s: %q, want %q", c.condition, got, c.want)
		}
	}
	for _, c := range []struct {
		short structs.Shortage
		want  string
	}{
		{structs.Shortage{Dimension: "cpu", Needed: 500, Free: 1, Unit: "MHz"}, "it has not enough cpu (needs 500 MHz, has 1)"},
		{structs.Shortage{Dimension: "cores", Needed: 1, Unit: "cores"}, "it has not enough cores (needs 1 core, has 0)"},
		{structs.Shortage{Dimension: "devices: acme/gpu", Needed: 2, Free: 1, Unit: "devices"}, "it has not enough free devices acme/gpu (needs 2 devices, has 1)"},
		{structs.Shortage{Dimension: "network: dynamic ports", Needed: 3, Free: 1, Unit: "ports"}, "it has not enough dynamic ports (needs 3 ports, has 1)"},
		{structs.Shortage{Dimension: "network: port 80 (http) is taken"}, "port 80 (http) is taken"},
	} {
		if got := blame(nil, []*structs.Shortage{&c.short}, nil); got != c.want {
			t.Errorf("%s: %q, want %q", c.short.Dimension, got, c.want)
		}
	}
	for reason, want := range map[string]string{
		"missing drivers (docker)": "of 5 nodes, 3 have no healthy driver docker and 2 fit",
		"${attr.a} = 1":            "of 5 nodes, 3 fail ${attr.a} = 1 and 2 fit",
	} {
		s := &structs.NodeSurvey{Nodes: 5, Fitting: 2, FilteredBy: []*structs.FilterCount{{Reason: reason, Nodes: 3}}}
		if got := refusals(s); got != want {
			t.Errorf("%s: %q, want %q", reason, got, want)
		}
	}
}

// TestCoresAndDevicesHaveNumbers: what a node lacks of them is counted, as of
// everything else.
func TestCoresAndDevicesHaveNumbers(t *testing.T) {
	w := &world{job: newJob(1, 100, 100)}
	w.node("one", "a", 4000, 4000)
	w.nodes[0].NodeResources.Cpu.ReservableCpuCores = []uint16{0, 1, 2}
	w.nodes[0].NodeResources.Devices = []*structs.NodeDeviceResource{{Vendor: "acme", Type: "gpu", Name: "x", Instances: []*structs.NodeDevice{
		{ID: "a", Healthy: true}, {ID: "b", Healthy: true},
	}}}
	task := w.job.TaskGroups[0].Tasks[0]
	task.Resources.CPU, task.Resources.Cores = nil, ptr(2)
	task.Resources.Devices = []*structs.RequestedDevice{{Name: "gpu", Count: ptr(uint64(2))}}
	w.run("web.web[0]", "one", 0)
	w.allocs[0].AllocatedResources.Tasks["t"].Cpu.ReservedCores = []uint16{0, 1}
	w.allocs[0].AllocatedResources.Tasks["t"].Devices = []*structs.AllocatedDeviceResource{{Vendor: "acme", Type: "gpu", Name: "x", DeviceIDs: []string{"b"}}}
	on := WhyNot(w.input(), w.nodes[0], w.job).Groups[0]
	want := map[string]structs.Shortage{
		"cores":        {Dimension: "cores", Needed: 2, Free: 1, Total: 3, Unit: "cores"},
		"devices: gpu": {Dimension: "devices: gpu", Needed: 2, Free: 1, Total: 2, Unit: "devices"},
	}
	if len(on.Shortages) != len(want) {
		t.Errorf("%s", on.Summary)
	}
	for _, s := range on.Shortages {
		if *s != want[s.Dimension] {
			t.Errorf("%+v, want %+v", *s, want[s.Dimension])
		}
	}
}
