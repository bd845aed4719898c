package feasible

import (
	"slices"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// TestEqualKeysMeanEqualChecks: what has the same key must be asked of the same
// nodes, whatever texts people write. It tries all lists of up to two
// constraints of a few texts, and the same texts in other places.
func TestEqualKeysMeanEqualChecks(t *testing.T) {
	texts := []string{"", "a", "\x00", "a\x00a"}
	var all []*structs.Constraint
	for _, l := range texts {
		for _, op := range texts {
			for _, r := range texts {
				all = append(all, &structs.Constraint{LTarget: l, Operand: op, RTarget: r})
			}
		}
	}
	seen := map[string][]string{}
	check := func(job structs.Job, group structs.TaskGroup) {
		key := string(AppendKey(nil, &job, &group))
		pool, datacenters := Place(&job)
		names := []string{pool.Name, datacenters.Name}
		for _, c := range Checks(&job, &group) {
			names = append(names, c.Name)
		}
		if old, known := seen[key]; known && !slices.Equal(old, names) {
			t.Fatalf("%q and %q have one key", old, names)
		}
		seen[key] = names
	}
	distinct := map[string]bool{}
	for _, c := range all {
		distinct[constraint(c).Name] = true
		check(structs.Job{Constraints: all[:0:0]}, structs.TaskGroup{Constraints: []*structs.Constraint{c}})
		for _, d := range all {
			check(structs.Job{Constraints: []*structs.Constraint{c}}, structs.TaskGroup{Constraints: []*structs.Constraint{d}})
			task := &structs.Task{Constraints: []*structs.Constraint{c, d}}
			check(structs.Job{}, structs.TaskGroup{Tasks: []*structs.Task{task}})
		}
	}
	if len(distinct) != len(all) {
		t.Errorf("%d names for %d constraints", len(distinct), len(all))
	}
	for _, a := range texts {
		for _, b := range texts {
			for _, n := range []int{0, 1} {
				check(structs.Job{NodePool: &a, Datacenters: []string{b}}, structs.TaskGroup{Tasks: []*structs.Task{
					{Driver: a}, {Driver: b, Resources: &structs.Resources{Cores: &n}},
				}})
				check(structs.Job{Datacenters: []string{a, b}}, structs.TaskGroup{
					Volumes:  map[string]*structs.VolumeRequest{"v": {Source: a, ReadOnly: n == 0}, "w": {Source: b}},
					Networks: []*structs.NetworkResource{{Mode: structs.NetworkModeCNI + a, DynamicPorts: []structs.Port{{HostNetwork: b}}}},
				})
				check(structs.Job{}, structs.TaskGroup{Tasks: []*structs.Task{{Resources: &structs.Resources{
					Devices: []*structs.RequestedDevice{{Name: a, Constraints: all[:n]}, {Name: b}},
				}}}})
			}
		}
	}
}
