package state

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// bulk is a store with nodes, and plans of one job that place on them.
type bulk struct {
	*world
	nodes []string
	eval  *structs.Evaluation
	next  uint32
	seed  ids.Seed
	ports bool
}

func newBulk(t testing.TB, nodes int) *bulk {
	b := &bulk{world: newWorld(t), seed: ids.NewSeed()}
	b.store = New(Options{FeedSize: 16}) // what the feed keeps doesn't grow with the allocations
	for range nodes {
		n := testNode(ids.New())
		n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB, n.NodeResources.Disk.DiskMB = 1<<30, 1<<30, 1<<30
		b.must(&command.RegisterNode{Node: n})
		b.nodes = append(b.nodes, n.ID)
	}
	b.eval = b.register(testJob("bulk", 1_000_000))
	return b
}

func (b *bulk) entry(rows int) *command.ApplyPlans {
	p := b.plan(b.eval, make([]structs.Placement, rows)...)
	g := &p.Groups[0]
	g.Seed, g.FirstRow = b.seed, b.next
	for i := range g.Rows {
		// Neighbours in the list go to nodes apart, as a scheduler spreads them.
		at := int(b.next) + i
		g.Rows[i] = structs.Placement{NodeID: b.nodes[at*7919%len(b.nodes)], NameIndex: b.next + uint32(i)}
		if b.ports {
			g.Rows[i].Ports = []structs.PortMapping{{Label: "http", Value: 20000 + at/len(b.nodes), To: 8080}}
		}
	}
	b.next += uint32(rows)
	return &command.ApplyPlans{Plans: []*structs.Plan{p}, Now: b.now}
}

func BenchmarkApplyPlacements(b *testing.B) {
	for _, nodes := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("1000 on %d nodes", nodes), func(b *testing.B) {
			w := newBulk(b, nodes)
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				c := w.entry(1000)
				b.StartTimer()
				w.index++
				if r, ok := w.store.Apply(w.index, c).(*PlanResult); !ok || len(r.Refused)+len(r.Rejected) > 0 {
					b.Fatalf("refused: %+v", r)
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "placements/s")
		})
	}
}

func BenchmarkCodecPlacements(b *testing.B) {
	w := newBulk(b, 1000)
	c := w.entry(1000)
	data, err := command.Encode(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		for range b.N {
			_, _ = command.Encode(c)
		}
	})
	b.Run("decode", func(b *testing.B) {
		for range b.N {
			_, _ = command.Decode(data)
		}
	})
}

// What a placement takes in the log and, pending, in memory: HOUSE's promise is
// 50 and 500 bytes.
func TestFiguresOfAPlacement(t *testing.T) {
	for name, c := range map[string]struct {
		ports       bool
		log, memory float64
	}{
		"without ports": {false, 50, 250},
		"with a port":   {true, 50, 500},
	} {
		t.Run(name, func(t *testing.T) {
			const total, slice = 50_000, 1000
			w := newBulk(t, 1000)
			w.ports = c.ports
			before := heap()
			bytes := 0
			for range total / slice {
				data, err := command.Encode(w.entry(slice))
				if err != nil {
					t.Fatal(err)
				}
				bytes += len(data)
				decoded, err := command.Decode(data)
				if err != nil {
					t.Fatal(err)
				}
				w.index++
				if r := w.store.Apply(w.index, decoded).(*PlanResult); len(r.Refused)+len(r.Rejected) > 0 {
					t.Fatalf("refused: %+v", r)
				}
			}
			log, memory := float64(bytes)/total, float64(heap()-before)/total
			t.Logf("%.1f bytes of log and %.0f bytes of memory a placement", log, memory)
			if log > c.log || memory > c.memory {
				t.Errorf("%.1f bytes of log (at most %.0f), %.0f bytes of memory (at most %.0f)", log, c.log, memory, c.memory)
			}
			runtime.KeepAlive(w)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
