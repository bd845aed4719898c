package load

import (
	"fmt"
	"io"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Report is what a run measured. Figures of a part that was skipped are null.
type Report struct {
	Nodes       int `json:"nodes"`
	Jobs        int `json:"jobs"`
	Count       int `json:"count"`
	Connections int `json:"connections"`

	// Asked and Placed count allocations; Running those whose nodes reported
	// them as running before the end.
	Asked   int `json:"asked"`
	Placed  int `json:"placed"`
	Running int `json:"running"`
	// PlacedSeconds is from the first registration sent until the last
	// placement was committed, RegisteredSeconds until the last registration
	// was acknowledged.
	PlacedSeconds       float64 `json:"placed_s"`
	RegisteredSeconds   float64 `json:"registered_s"`
	PlacementsPerSecond float64 `json:"placements_per_s"`
	JobsPerSecond       float64 `json:"jobs_per_s"`

	SubmitToRunningP50 float64 `json:"submit_to_running_ms_p50"`
	SubmitToRunningP99 float64 `json:"submit_to_running_ms_p99"`

	// LogBytes are of the entries that placed the allocations, with their
	// evaluations; StatusLogBytes of those by which nodes reported them running.
	LogBytes       float64 `json:"log_bytes_per_alloc"`
	StatusLogBytes float64 `json:"status_log_bytes_per_alloc"`
	// Entries is how many entries of the log the placements shared.
	Entries int64 `json:"placement_entries"`

	// ServerBytes is the heap in use that an allocation takes which waits,
	// RunningBytes one that runs. Both are of the second wave.
	ServerBytes  *float64 `json:"server_bytes_per_alloc"`
	RunningBytes *float64 `json:"running_bytes_per_alloc"`
	// SizedWith is how many allocations the second wave had.
	SizedWith int `json:"sized_with"`

	ServerRSS int64 `json:"server_rss_bytes"`
	// ServerCPU is the server's processor time from the first registration
	// until all run, ServerCPUPlaced until all were placed.
	ServerCPU       float64 `json:"server_cpu_s"`
	ServerCPUPlaced float64 `json:"server_cpu_placed_s"`
	// NodesCPU is that of the simulated nodes, which share the machine.
	NodesCPU float64 `json:"nodes_cpu_s"`

	NodesUsed       int `json:"nodes_used"`
	NodesLowerBound int `json:"nodes_lower_bound"`
	// Failures counts calls of simulated nodes that failed and were repeated.
	Failures int `json:"failures"`
}

func (r *Report) cost(before, placed, after *structs.ServerFigures) {
	n := float64(max(1, r.Placed))
	r.ServerRSS = after.Process.ResidentBytes
	r.ServerCPUPlaced = seconds(placed.Process.CPUNanos - before.Process.CPUNanos)
	r.ServerCPU = seconds(after.Process.CPUNanos - before.Process.CPUNanos)
	r.LogBytes = float64(after.Log.Placements.Bytes-before.Log.Placements.Bytes) / n
	r.StatusLogBytes = float64(after.Log.Status.Bytes-before.Log.Status.Bytes) / float64(max(1, r.Running))
	r.Entries = after.Log.Placements.Entries - before.Log.Placements.Entries
}

func seconds(nanos int64) float64 { return time.Duration(nanos).Seconds() }

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Write shows the report to people.
func (r *Report) Write(out io.Writer) error {
	perAlloc := func(b *float64) string {
		if b == nil {
			return "not measured (-sizing 0)"
		}
		return fmt.Sprintf("%.0f B of heap each, of %d", *b, r.SizedWith)
	}
	n := float64(max(1, r.Placed))
	for _, row := range [][2]string{
		{"Nodes", fmt.Sprint(r.Nodes)},
		{"Jobs", fmt.Sprintf("%d of %d allocations, by %d connections", r.Jobs, r.Count, r.Connections)},
		{"Placed", fmt.Sprintf("%d of %d in %.2f s", r.Placed, r.Asked, r.PlacedSeconds)},
		{"Placements", fmt.Sprintf("%.0f a second (%.0f jobs a second)", r.PlacementsPerSecond, r.JobsPerSecond)},
		{"Registered", fmt.Sprintf("in %.2f s", r.RegisteredSeconds)},
		{"Running", fmt.Sprintf("%d; from submit %.0f ms (p50), %.0f ms (p99)", r.Running, r.SubmitToRunningP50, r.SubmitToRunningP99)},
		{"Log, placed", fmt.Sprintf("%.1f B each, in %d entries", r.LogBytes, r.Entries)},
		{"Log, running", fmt.Sprintf("%.1f B more each", r.StatusLogBytes)},
		{"Memory, pending", perAlloc(r.ServerBytes)},
		{"Memory, running", perAlloc(r.RunningBytes)},
		{"Server's memory", fmt.Sprintf("%.1f MiB resident", float64(r.ServerRSS)/(1<<20))},
		{"Server's CPU", fmt.Sprintf("%.2f s until all run (%.2f ms each), %.2f s until all were placed (%.2f ms each)",
			r.ServerCPU, r.ServerCPU*1000/n, r.ServerCPUPlaced, r.ServerCPUPlaced*1000/n)},
		{"Beside it", fmt.Sprintf("%.2f s of CPU for the simulated nodes", r.NodesCPU)},
		{"Nodes used", fmt.Sprintf("%d; at least %d are needed", r.NodesUsed, r.NodesLowerBound)},
	} {
		if _, err := fmt.Fprintf(out, "%-16s = %s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}
