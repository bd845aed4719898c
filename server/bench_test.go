package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/evals"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// BenchmarkSmallJobs is how fast evaluations of small jobs become committed
// plans on 1,000 nodes, the log in memory: registration apart.
func BenchmarkSmallJobs(b *testing.B) {
	s := &Server{cfg: Config{Name: "bench"}.withDefaults(), store: state.New(state.Options{FeedSize: feedSize})}
	s.log = s.cfg.Logger
	journal := &memoryJournal{store: s.store}
	s.journal = journal
	s.reconcile = func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
	commit := func(c command.Command) {
		if _, err := journal.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	commit(&command.SetSchedulerConfig{Config: &structs.SchedulerConfiguration{PauseEvalBroker: true}})
	for i := range 1000 {
		n := (&fakeNode{id: ids.New()}).describe(fmt.Sprint("n", i))
		n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB = 1_000_000, 1_000_000
		n.NodeResources.Disk.DiskMB = 10_000_000
		commit(&command.RegisterNode{Node: n})
	}
	for i := range b.N {
		job := testJob(fmt.Sprint("job", i), "batch", 1)
		job.Canonicalize()
		commit(&command.RegisterJob{Job: job, Eval: evals.New(job, structs.TriggerJobRegister, time.Now()), Now: time.Now().UnixNano()})
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
