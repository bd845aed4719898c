package agent

import (
	"strings"
	"testing"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/structs"
)

func TestGaugesOfANode(t *testing.T) {
	got := map[string]float64{}
	for _, g := range clientGauges(client.Figures{
		Allocs:    map[string]int{structs.AllocClientRunning: 2, structs.AllocClientComplete: 3, structs.AllocClientFailed: 1},
		Total:     structs.Comparable{CPU: 1000, MemoryMB: 500, DiskMB: 90},
		Allocated: structs.Comparable{CPU: 300, MemoryMB: 100, DiskMB: 40},
	}, nil) {
		got[strings.Join(g.name, ".")] = g.value
	}
	for name, want := range map[string]float64{
		"client.allocations.running": 2, "client.allocations.terminal": 4,
		"client.allocated.cpu": 300, "client.unallocated.cpu": 700,
		"client.allocated.memory": 100, "client.unallocated.memory": 400,
		"client.allocated.disk": 40, "client.unallocated.disk": 50,
	} {
		if have, ok := got[name]; !ok || have != want {
			t.Errorf("%s: %v, want %v", name, have, want)
		}
	}
}
