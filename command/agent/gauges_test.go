package agent

import (
	"strings"
	"testing"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/server"
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

func TestWhatJobsWaitForIsTold(t *testing.T) {
	waits := []server.Wait{
		{Eval: &structs.Evaluation{Namespace: "default", JobID: "a", EscapedComputedClass: true}, Ask: structs.Comparable{CPU: 100, MemoryMB: 10}},
		{Eval: &structs.Evaluation{Namespace: "default", JobID: "b"}, Ask: structs.Comparable{CPU: 200, MemoryMB: 20}},
	}
	got := map[string]float64{}
	for _, g := range waitGauges(waits) {
		name := strings.Join(g.name, ".")
		for _, l := range g.labels {
			name += " " + l.Name + "=" + l.Value
		}
		got[name] = g.value
	}
	for name, want := range map[string]float64{
		"nomad.blocked_evals.total_escaped":                      1,
		"nomad.blocked_evals.cpu":                                300,
		"nomad.blocked_evals.memory":                             30,
		"nomad.blocked_evals.job.cpu namespace=default job=a":    100,
		"nomad.blocked_evals.job.memory namespace=default job=b": 20,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
