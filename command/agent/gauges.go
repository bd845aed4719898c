package agent

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// serverGauges are the names that dashboards know for the leader's figures;
// what has no such name is told under steppe.
var serverGauges = map[string][]string{
	"broker.ready":    {"nomad", "broker", "total_ready"},
	"broker.running":  {"nomad", "broker", "total_unacked"},
	"broker.waiting":  {"nomad", "broker", "total_pending"},
	"broker.delayed":  {"nomad", "broker", "total_waiting"},
	"broker.failed":   {"nomad", "broker", "failed"},
	"blocked.evals":   {"nomad", "blocked_evals", "total_blocked"},
	"heartbeat.nodes": {"nomad", "heartbeat", "active"},
}

// gauge is one figure.
type gauge struct {
	name   []string
	value  float64
	labels []metrics.Label
}

// measure tells the figures of server and client until ctx ends.
func (a *assembly) measure(ctx context.Context) error {
	for {
		for _, g := range a.gauges() {
			a.metrics.metrics.SetGaugeWithLabels(g.name, float32(g.value), g.labels)
		}
		a.metrics.metrics.EmitRuntimeStats()
		timer := clock.Real{}.NewTimer(max(a.settings.CollectionInterval, time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
}

func (a *assembly) gauges() []gauge {
	var out []gauge
	if a.server != nil {
		for name, value := range a.server.Figures() {
			path, known := serverGauges[name]
			if !known {
				path = []string{"steppe", name}
			}
			out = append(out, gauge{name: path, value: float64(value)})
		}
		out = append(out, waitGauges(a.server.Waits())...)
	}
	if a.client == nil {
		return out
	}
	if node := a.client.Node(); node != nil { // nil until it knows itself
		labels := []metrics.Label{
			{Name: "node_id", Value: node.ID}, {Name: "datacenter", Value: node.Datacenter},
			{Name: "node_class", Value: node.NodeClass}, {Name: "node_pool", Value: node.NodePool},
		}
		out = append(out, clientGauges(a.client.Figures(), labels)...)
	}
	return out
}

// maxWaitingJobs bounds for how many jobs what they wait for is told one by
// one; the sums count all.
const maxWaitingJobs = 500

// waitGauges are what blocked evaluations wait for, by job and in all.
func waitGauges(waits []server.Wait) []gauge {
	var sum structs.Comparable
	escaped := 0
	out := []gauge{}
	for _, w := range waits {
		sum.Add(w.Ask)
		if w.Eval.EscapedComputedClass {
			escaped++
		}
	}
	add := func(name string, value int64, labels ...metrics.Label) {
		out = append(out, gauge{name: append([]string{"nomad", "blocked_evals"}, strings.Split(name, ".")...), value: float64(value), labels: labels})
	}
	add("total_escaped", int64(escaped))
	add("cpu", sum.CPU)
	add("memory", sum.MemoryMB)
	for _, w := range waits[:min(len(waits), maxWaitingJobs)] {
		labels := []metrics.Label{{Name: "namespace", Value: w.Eval.Namespace}, {Name: "job", Value: w.Eval.JobID}}
		add("job.cpu", w.Ask.CPU, labels...)
		add("job.memory", w.Ask.MemoryMB, labels...)
	}
	return out
}

// clientGauges are what a node runs and what it has left.
func clientGauges(f client.Figures, labels []metrics.Label) []gauge {
	var out []gauge
	add := func(value int64, name ...string) {
		out = append(out, gauge{name: append([]string{"client"}, name...), value: float64(value), labels: labels})
	}
	ended := 0
	for status, n := range f.Allocs {
		switch status {
		case structs.AllocClientPending, structs.AllocClientRunning:
			add(int64(n), "allocations", status)
		default:
			ended += n
		}
	}
	add(int64(ended), "allocations", "terminal")
	add(f.Allocated.CPU, "allocated", "cpu")
	add(f.Allocated.MemoryMB, "allocated", "memory")
	add(f.Allocated.DiskMB, "allocated", "disk")
	add(f.Total.CPU-f.Allocated.CPU, "unallocated", "cpu")
	add(f.Total.MemoryMB-f.Allocated.MemoryMB, "unallocated", "memory")
	add(f.Total.DiskMB-f.Allocated.DiskMB, "unallocated", "disk")
	return out
}
