package feasible

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

func TestDeviceConstraints(t *testing.T) {
	gpu := &structs.NodeDeviceResource{
		Vendor: "acme", Type: "gpu", Name: "one/xl",
		Instances: []*structs.NodeDevice{{ID: "a", Healthy: true}, {ID: "b", Healthy: true}, {ID: "c"}},
		Attributes: map[string]*structs.Attribute{
			"memory": {IntVal: new(int64(11264)), Unit: "MiB"}, "clock": {FloatVal: new(1.5), Unit: "GHz"},
			"cores": {IntVal: new(int64(3072))}, "ecc": {BoolVal: new(true)}, "arch": {StringVal: new("turing")},
			"driver": {StringVal: new("535.104.5")}, "power": {StringVal: new("250 W")}, "odd": {IntVal: new(int64(4)), Unit: "spans"},
		},
	}
	cases := []struct {
		l, op, r string
		want     bool
	}{
		{"${device.attr.memory}", "=", "11 GiB", true},
		{"${device.attr.memory}", ">=", "11GiB", true},
		{"${device.attr.memory}", ">", "11 GB", true},
		{"${device.attr.memory}", ">", "11 GiB", false},
		{"${device.attr.memory}", "<", "1 TiB", true},
		{"${device.attr.memory}", ">", "4", false}, // 4 of what?
		{"${device.attr.memory}", ">", "1 GHz", false},
		{"${device.attr.memory}", "!=", "1 GHz", true},
		{"${device.attr.memory}", "!=", "11 GiB", false},
		{"${device.attr.clock}", ">=", "1500 MHz", true},
		{"${device.attr.cores}", ">", "999", true},
		{"${device.attr.cores}", ">", "999 MiB", false},
		{"${device.attr.power}", "<=", "0.25 kW", true},
		{"${device.attr.odd}", ">", "3 spans", false}, // no unit that is known
		{"${device.attr.ecc}", "=", "true", true},
		{"${device.attr.ecc}", "=", "1", false},
		{"${device.attr.arch}", "=", "turing", true},
		{"${device.attr.arch}", "regexp", "^tur", true},
		{"${device.attr.driver}", "version", ">= 535", true},
		{"${device.attr.driver}", "semver", "< 535.104.5", false},
		{"${device.attr.none}", "is_set", "", false},
		{"${device.attr.none}", "is_not_set", "", true},
		{"${device.attr.none}", "=", "x", false},
		{"${device.attr.none}", "!=", "x", true},
		{"${device.vendor}", "=", "acme", true},
		{"${device.type}", "!=", "gpu", false},
		{"${device.model}", "=", "one/xl", true},
		{"${device.ids}", "set_contains", "a,b", true},
		{"${device.ids}", "set_contains", "a,z", false},
		{"${device.ids}", "set_contains_any", "z,b", true},
		{"${device.unknown}", "is_set", "", false},
		{"${device.model}", "like", "one", false},
	}
	for _, c := range cases {
		if got := ofDevice(c.l, c.op, c.r)(gpu); got != c.want {
			t.Errorf("%s %s %s: %t", c.l, c.op, c.r, got)
		}
	}
	names := map[string]bool{
		"gpu": true, "fpga": false, "acme/gpu": true, "other/gpu": false, "acme/gpu/one/xl": true, "acme/gpu/one": false, "acme": false,
	}
	for name, want := range names {
		if got := named(name, gpu); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestDevicesOfANode(t *testing.T) {
	n := &structs.Node{NodeResources: &structs.NodeResources{Devices: []*structs.NodeDeviceResource{nil, {
		Vendor: "acme", Type: "gpu", Name: "one",
		Instances: []*structs.NodeDevice{{ID: "a", Healthy: true}, nil, {ID: "b", Healthy: true}, {ID: "c"}},
	}}}}
	ask := func(count uint64, constraints ...*structs.Constraint) *Devices {
		return newDevices("t", &structs.RequestedDevice{Name: "gpu", Count: &count, Constraints: constraints})
	}
	only := func(operand, ids string) *structs.Constraint {
		return &structs.Constraint{LTarget: "${device.ids}", Operand: operand, RTarget: ids}
	}
	cases := map[string]struct {
		ask  *Devices
		want bool
	}{
		"two healthy ones":   {ask(2), true},
		"three":              {ask(3), false},
		"a certain one":      {ask(1, only("set_contains", "b")), true},
		"two of one":         {ask(2, only("set_contains", "b")), false},
		"one of several":     {ask(2, only("set_contains_any", "a,b,z")), true},
		"one that is broken": {ask(1, only("set_contains_any", "c,z")), false},
		"by a pattern":       {ask(1, only("regexp", "b")), true},
	}
	for name, c := range cases {
		if got := c.ask.has(n); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if new(Devices).has(&structs.Node{}) {
		t.Error("a node without resources has devices")
	}
}
