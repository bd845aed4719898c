package reconcile

import (
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// TestWhichVersionsMayStillBePlaced asks for older versions of the same job that
// are surely kept and have the group.
func TestWhichVersionsMayStillBePlaced(t *testing.T) {
	version := func(created, n uint64, group string) *structs.Job {
		return &structs.Job{CreateIndex: &created, Version: &n, TaskGroups: []*structs.TaskGroup{{Name: &group}}}
	}
	e := &everywhere{group: group{name: "g", run: &run{Input: Input{Job: version(7, 20, "g")}}}}
	for name, c := range map[string]struct {
		job  *structs.Job
		want bool
	}{
		"none":                   {nil, false},
		"the one before":         {version(7, 19, "g"), true},
		"the oldest that's kept": {version(7, 15, "g"), true},
		"too old":                {version(7, 14, "g"), false},
		"the newest":             {version(7, 20, "g"), false},
		"a newer one":            {version(7, 21, "g"), false},
		"of an earlier job":      {version(3, 19, "g"), false},
		"without the group":      {version(7, 19, "other"), false},
	} {
		if got := e.placeable(c.job); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
