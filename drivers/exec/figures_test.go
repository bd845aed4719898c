//go:build linux

package exec_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
)

// BenchmarkStart tells how long a start takes, and what a task costs beside
// itself: the proportional memory of its supervisor. The figures of a release
// are those of a build with the small supervisor inside (tag embedsupervisor).
func BenchmarkStart(b *testing.B) {
	w := newWorld(b, nil)
	var took []time.Duration
	var pss int
	for b.Loop() {
		task := w.task(map[string]any{"command": "/bin/sleep", "args": []any{"300"}})
		begun := clock.Real{}.Now()
		w.start(task)
		took = append(took, clock.Real{}.Now().Sub(begun))
		pss = max(pss, pssOf(b, statusOf(b, task).Supervisor.PID))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "ms-p95")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(pss), "KiB-PSS")
}

func pssOf(b *testing.B, pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	must(b, err)
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			var n int
			_, err := fmt.Sscan(rest, &n)
			must(b, err)
			return n
		}
	}
	return 0
}
