package explain

import (
	"fmt"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// BenchmarkCapacity counts how many of a tiny job fit on 5,000 nodes: a hundred
// thousand or a million, by amounts alone or with a port each.
func BenchmarkCapacity(b *testing.B) {
	for _, test := range []struct {
		name  string
		each  int // on a node
		ports bool
	}{{"100000", 20, false}, {"1000000", 200, false}, {"1000000withPorts", 200, true}} {
		b.Run(test.name, func(b *testing.B) {
			w := &world{}
			for i := range 5_000 {
				w.node(fmt.Sprint("n", i), "a", 100*test.each, 1_000_000)
				r := w.nodes[i].NodeResources
				r.Disk.DiskMB, r.MaxDynamicPort = 10_000_000, 32_000
			}
			w.job = newJob(1, 100, 10)
			if test.ports {
				w.job.TaskGroups[0].Networks = []*structs.NetworkResource{{DynamicPorts: []structs.Port{{Label: "http"}}}}
			}
			in := w.input()
			b.ResetTimer()
			for range b.N {
				r := Capacity(in, w.job)
				b.ReportMetric(float64(r.Groups[0].Count), "fit")
			}
		})
	}
}
