package scheduler_test

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// BenchmarkJobs schedules jobs one after the other onto the same nodes, each
// counted before the next, as the placer does: an operation is all of them.
func BenchmarkJobs(b *testing.B) {
	for _, bench := range []struct {
		name               string
		nodes, jobs, count int
		algorithm          string
		varied             bool
	}{
		{name: "100000x10on10000", nodes: 10_000, jobs: 100_000, count: 10},
		{name: "100000x10on50000", nodes: 50_000, jobs: 100_000, count: 10},
		{name: "100000x10on10000varied", nodes: 10_000, jobs: 100_000, count: 10, varied: true},
		{name: "100000x1on10000", nodes: 10_000, jobs: 100_000, count: 1},
		{name: "20000x10on10000spread", nodes: 10_000, jobs: 20_000, count: 10, algorithm: structs.SchedulerSpread},
		{name: "20000x10on10000spreadvaried", nodes: 10_000, jobs: 20_000, count: 10, algorithm: structs.SchedulerSpread, varied: true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			var cpu float64
			for b.Loop() {
				b.StopTimer()
				p, c := farm(bench.nodes, 0)
				q := &queue{view: p, capacity: c, rng: rand.New(rand.NewPCG(1, 2)), varied: bench.varied}
				q.config.SchedulerAlgorithm = bench.algorithm
				b.StartTimer()
				before := cpuSeconds(b)
				for range bench.jobs {
					q.next(b, bench.count)
				}
				cpu += cpuSeconds(b) - before
			}
			placed := float64(bench.jobs*bench.count) * float64(b.N)
			b.ReportMetric(placed/b.Elapsed().Seconds(), "placements/s")
			b.ReportMetric(cpu/placed*1e9, "cpu-ns/placement")
		})
	}
}

// queue makes jobs and places them.
type queue struct {
	view     *plain
	capacity *scheduler.Capacity
	config   structs.SchedulerConfiguration
	rng      *rand.Rand
	varied   bool
	made     uint64
	scratch  scheduler.Scratch
	jobs     []*structs.Job
}

// jobs are what the jobs of a queue are copies of.
func jobs(rng *rand.Rand, count int, varied bool) []*structs.Job {
	out := []*structs.Job{service(count)}
	for varied && len(out) < 1000 {
		job := service(count)
		r := job.TaskGroups[0].Tasks[0].Resources
		r.CPU, r.MemoryMB = ptr(50+rng.IntN(250)), ptr(64+rng.IntN(400))
		out = append(out, job)
	}
	return out
}

func (q *queue) next(b *testing.B, count int) {
	if q.jobs == nil {
		q.jobs = jobs(q.rng, count, q.varied)
	}
	job := *q.jobs[int(q.made)%len(q.jobs)] // the state has jobs ready: making them isn't measured
	job.ID = ptr("job-" + strconv.FormatUint(q.made, 10))
	q.made++
	q.view.job = &job
	d, err := scheduler.Schedule(q.input(*job.ID))
	if err != nil || len(d.Eval.FailedTGAllocs) > 0 {
		b.Fatal(err, d.Eval.FailedTGAllocs)
	}
	q.capacity.Hold(d.Plan, planIDs())
}

func (q *queue) input(job string) scheduler.Input {
	in := input(q.view, q.capacity)
	in.Config, in.Eval.JobID, in.Seed, in.Scratch = &q.config, job, q.rng.Uint64(), &q.scratch
	in.NewID = func() string {
		var id [16]byte
		binary.BigEndian.PutUint64(id[:8], q.rng.Uint64())
		binary.BigEndian.PutUint64(id[8:], q.rng.Uint64())
		return ids.Format(id)
	}
	return in
}

// planIDs makes ids as the state does.
func planIDs() scheduler.IDs {
	return scheduler.IDs{
		Derive: func(seed [16]byte, row uint32) [16]byte { return ids.DeriveRaw(seed, row) },
		Row:    func(seed, id [16]byte) (uint32, bool) { return ids.Underived(seed, id) },
	}
}

// cpuSeconds is the processor time of the process so far: on a shared machine it
// says more than the clock.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
