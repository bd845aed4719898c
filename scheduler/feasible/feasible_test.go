package feasible

import (
	"slices"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func node() *structs.Node {
	return &structs.Node{
		ID: "id-1", Name: "alpha", Datacenter: "eu-west-1", NodeClass: "big", NodePool: "gpu",
		Attributes: map[string]string{
			"kernel.name": "linux", "cpu.numcores": "16", "load": "1.5", "v": "1.10.2", "pre": "2.0.0-beta.2",
			"disks": "ssd, hdd", "empty": "", "unique.ip": "10.0.0.1",
		},
		Meta: map[string]string{"rack": "r7"},
	}
}

func TestOperators(t *testing.T) {
	for _, tt := range []struct {
		l, op, r string
		want     bool
	}{
		{"${attr.kernel.name}", "=", "linux", true},
		{"${attr.kernel.name}", "==", "windows", false},
		{"${attr.kernel.name}", "is", "linux", true},
		{"${attr.kernel.name}", "", "linux", true},
		{"${attr.missing}", "=", "", false},
		{"${attr.missing}", "=", "${attr.missing}", false},
		{"${attr.kernel.name}", "!=", "windows", true},
		{"${attr.kernel.name}", "not", "linux", false},
		{"${attr.missing}", "!=", "linux", true},
		{"${attr.missing}", "!=", "${attr.missing}", false},
		{"${attr.cpu.numcores}", ">", "9", true},
		{"${attr.cpu.numcores}", "<", "9", false},
		{"${attr.cpu.numcores}", "<=", "16", true},
		{"${attr.cpu.numcores}", ">=", "16.5", false},
		{"${attr.load}", "<", "10", true},
		{"abc", "<", "abd", true},
		{"${attr.missing}", "<", "1", false},
		{"${attr.kernel.name}", "regexp", "^lin", true},
		{"${attr.kernel.name}", "regexp", "^in", false},
		{"${attr.kernel.name}", "regexp", "(", false},
		{"${attr.v}", "version", ">= 1.9, < 2", true},
		{"${attr.v}", "version", "~> 1.9.1", false},
		{"${attr.v}", "version", "nonsense", false},
		{"${attr.kernel.name}", "version", "> 1", false},
		{"${attr.pre}", "version", ">= 1", false}, // a pre-release is asked for by name only
		{"${attr.pre}", "semver", ">= 1.0.0", true},
		{"${attr.pre}", "semver", "> 2.0.0-beta.1, < 2.0.0", true},
		{"${attr.pre}", "semver", "= 2.0.0", false},
		{"${attr.pre}", "semver", "!= 2.0.0", true},
		{"${attr.pre}", "semver", "~> 2.0.0", false}, // not an operator of semver
		{"${attr.disks}", "set_contains", "hdd,ssd", true},
		{"${attr.disks}", "set_contains_all", "hdd,nvme", false},
		{"${attr.disks}", "set_contains_any", "nvme,hdd", true},
		{"${attr.disks}", "set_contains_any", "nvme", false},
		{"${attr.empty}", "is_set", "", true},
		{"${attr.missing}", "attribute_is_set", "", false},
		{"${attr.missing}", "is_not_set", "", true},
		{"${attr.empty}", "attribute_is_not_set", "", false},
		{"${attr.kernel.name}", "resembles", "linux", false},
		{"${meta.rack}", "=", "r7", true},
		{"${node.class}-${meta.rack}", "=", "big-r7", true},
		{"${node.class}-${meta.row}", "is_set", "", false},
	} {
		got := comparison(tt.l, tt.op, tt.r)(node())
		if got != tt.want {
			t.Errorf("%q %s %q is %t", tt.l, tt.op, tt.r, got)
		}
	}
}

func TestValue(t *testing.T) {
	for target, want := range map[string]string{
		"literal": "literal", "${node.unique.id}": "id-1", "${node.unique.name}": "alpha", "${node.datacenter}": "eu-west-1",
		"${node.class}": "big", "${node.pool}": "gpu", "${attr.cpu.numcores}": "16", "a${meta.rack}b": "ar7b",
	} {
		if got, ok := Value(target, node()); !ok || got != want {
			t.Errorf("%s is %q, %t", target, got, ok)
		}
	}
	for _, target := range []string{"${attr.none}", "${node.region}", "${", "x${attr.v", "${}"} {
		if got, ok := Value(target, node()); ok {
			t.Errorf("%s is %q", target, got)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "dc1", true}, {"dc1", "dc1", true}, {"dc1", "dc12", false}, {"dc*", "dc12", true}, {"*-1", "eu-west-1", true},
		{"eu-*-1", "eu-west-1", true}, {"eu-*-2", "eu-west-1", false}, {"*west*", "eu-west-1", true}, {"a*a", "a", false}, {"", "dc1", false},
	} {
		if got := (&structs.Node{Datacenter: tt.text}).InDatacenters([]string{tt.pattern}); got != tt.want {
			t.Errorf("%q matches %q: %t", tt.pattern, tt.text, got)
		}
	}
}

func TestChecksFilterInOrder(t *testing.T) {
	job := &structs.Job{Constraints: []*structs.Constraint{{LTarget: "${attr.a}", Operand: "=", RTarget: "1"}, {Operand: structs.OpDistinctHosts}}}
	group := &structs.TaskGroup{
		Constraints: []*structs.Constraint{{LTarget: "${attr.unique.ip}", Operand: "is_set"}},
		Volumes:     map[string]*structs.VolumeRequest{"v": {Type: "host", Source: "data"}, "c": {Type: "csi"}},
		Networks: []*structs.NetworkResource{{
			Mode: "cni/x", DynamicPorts: []structs.Port{{Label: "p", HostNetwork: "lan"}, {Label: "q", HostNetwork: "default"}},
		}},
		Tasks: []*structs.Task{
			{Driver: "exec", Constraints: []*structs.Constraint{{LTarget: "${attr.b}", Operand: "=", RTarget: "2"}}},
			{Driver: "docker"}, {Driver: "exec"},
		},
	}
	var got []string
	for _, c := range Checks(job, group) {
		got = append(got, c.Reason)
		if c.Make()(node()) != (c.Reason == "${attr.unique.ip} is_set") {
			t.Errorf("%s is judged wrongly", c.Reason)
		}
		if c.Unique != (c.Reason == "${attr.unique.ip} is_set") {
			t.Errorf("%s: unique is %t", c.Reason, c.Unique)
		}
	}
	want := []string{
		"${attr.a} = 1", "${attr.unique.ip} is_set", "${attr.b} = 2", "missing drivers (docker)", "missing drivers (exec)",
		"CSI volumes are not built yet", "missing compatible host volumes (data)", "missing network (cni/x)", "missing host network (lan)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestNeeds(t *testing.T) {
	n := node()
	n.Drivers = map[string]*structs.DriverInfo{"a": {Detected: true, Healthy: true}, "b": {Detected: true}, "c": {Healthy: true}}
	n.HostVolumes = map[string]*structs.HostVolumeInfo{"rw": {}, "ro": {ReadOnly: true}}
	for driver, want := range map[string]bool{"a": true, "b": false, "c": false, "d": false} {
		if got := drivers(&structs.TaskGroup{Tasks: []*structs.Task{{Driver: driver}}})[0].Make()(n); got != want {
			t.Errorf("driver %s: %t", driver, got)
		}
	}
	for _, tt := range []struct {
		source   string
		readOnly bool
		want     bool
	}{{"rw", false, true}, {"rw", true, true}, {"ro", true, true}, {"ro", false, false}, {"none", true, false}} {
		if got := hostVolume(tt.source, tt.readOnly).Make()(n); got != tt.want {
			t.Errorf("volume %s, read only %t: %t", tt.source, tt.readOnly, got)
		}
	}
}

func TestDistincts(t *testing.T) {
	job := &structs.Job{Constraints: []*structs.Constraint{{Operand: structs.OpDistinctHosts, RTarget: "true"}}}
	group := &structs.TaskGroup{Constraints: []*structs.Constraint{
		{Operand: structs.OpDistinctHosts, RTarget: "false"},
		{Operand: structs.OpDistinctProperty, LTarget: "${meta.rack}"},
		{Operand: structs.OpDistinctProperty, LTarget: "${meta.row}", RTarget: "3"},
	}}
	got := Distincts(job, group)
	if len(got) != 3 || !got[0].WholeJob || got[0].Limit != 1 || got[1].Limit != 1 || got[2].Limit != 3 || got[2].WholeJob {
		t.Errorf("got %+v", got)
	}
}

func FuzzComparison(f *testing.F) {
	f.Add("${attr.v}", "version", ">= 1, < 2")
	f.Add("${attr.v}", "semver", ">=")
	f.Add("${a}${", "regexp", "[")
	f.Fuzz(func(_ *testing.T, l, op, r string) {
		holds := comparison(l, op, r)
		holds(node())
		holds(node())
	})
}
