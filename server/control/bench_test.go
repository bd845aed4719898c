package control

import (
	"fmt"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// BenchmarkSmallJobs is how fast evaluations of small jobs become committed
// plans on 1,000 nodes, the log in memory: registration apart.
func BenchmarkSmallJobs(b *testing.B) {
	journal := &memoryJournal{store: state.New(state.Options{FeedSize: FeedSize})}
	s := New(Config{Store: journal.store, Journal: journal, Standing: func() (leads, known bool) { return true, true }})
	commit := func(c command.Command) {
		if _, err := journal.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	commit(&command.SetSchedulerConfig{Config: &structs.SchedulerConfiguration{PauseEvalBroker: true}})
	for i := range 1000 {
		n := servertest.Node(fmt.Sprint("n", i))
		n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB = 1_000_000, 1_000_000
		n.NodeResources.Disk.DiskMB = 10_000_000
		commit(&command.RegisterNode{Node: n})
	}
	for i := range b.N {
		job := servertest.Job(fmt.Sprint("job", i), "batch", 1)
		job.Canonicalize()
		commit(&command.RegisterJob{Job: job, Eval: s.evals.New(job, structs.TriggerJobRegister, time.Now()), Now: time.Now().UnixNano()})
	}
	g := loop.New(b.Context())
	g.Go("leader", s.serveTerm)
	for s.term.Load() == nil || s.Figures()["broker.ready"] < int64(b.N) {
		_ = s.sleep(b.Context(), time.Millisecond)
	}
	b.ResetTimer()
	s.term.Load().broker.SetPaused(false)
	for s.Figures()["placer.evaluations"] < int64(b.N) {
		_ = s.sleep(b.Context(), time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "evals/s")
	g.Stop()
	_ = g.Wait()
}
