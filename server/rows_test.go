package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/server/account"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/server/evals"
	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// yard is a real server, its log on disk and synced, with nodes that don't
// connect: what a benchmark of the pipeline needs. Time goes from the
// evaluations being let go to their placements being applied.
type yard struct {
	*Server
	b   *testing.B
	cfg Config
	g   *loop.Group
}

func newYard(b *testing.B) *yard {
	dir := b.TempDir()
	identity, err := certs.DevCA(filepath.Join(dir, "ca"), "global", certs.RoleServer)
	if err != nil {
		b.Fatal(err)
	}
	y := &yard{b: b, cfg: Config{
		Name: "bench", DataDir: filepath.Join(dir, "data"), TLS: identity, Dev: true, BootstrapExpect: 1,
		LinkAddr: "127.0.0.1:0", SerfAddr: "127.0.0.1:0",
		// Nodes that say nothing for the whole benchmark stay.
		HeartbeatGrace: time.Hour,
	}}
	y.start()
	b.Cleanup(y.stop)
	return y
}

func (y *yard) start() {
	s, err := New(y.cfg)
	if err != nil {
		y.b.Fatal(err)
	}
	y.Server, y.g = s, loop.New(context.Background())
	y.g.Go("server", s.Run)
	y.await("a leader", func() bool { return y.Leading() })
}

func (y *yard) stop() {
	y.g.Stop()
	if err := y.g.Wait(); err != nil {
		y.b.Errorf("the server ended badly: %v", err)
	}
}

func (y *yard) await(what string, done func() bool) {
	y.b.Helper()
	testx.Eventually(y.b, 5*time.Minute, what, done)
}

func (y *yard) commit(commands ...command.Command) {
	y.b.Helper()
	for _, c := range commands {
		if _, err := y.propose(y.b.Context(), c); err != nil {
			y.b.Fatal(err)
		}
	}
}

// addNodes registers nodes of four sizes, many commands under way at a time.
func (y *yard) addNodes(n int, cpu, memory int64) []string {
	y.b.Helper()
	var out []string
	group := loop.New(y.b.Context())
	var all []*structs.Node
	for i := range n {
		node := servertest.Node(fmt.Sprint("n", i))
		scale := int64(1 + i%4)
		node.NodeResources.Cpu.CpuShares, node.NodeResources.Memory.MemoryMB = cpu*scale, memory*scale
		node.NodeResources.Disk.DiskMB = 100_000_000
		all, out = append(all, node), append(out, node.ID)
	}
	for w := range 64 {
		group.Go("register nodes", func(ctx context.Context) error {
			for i := w; i < n; i += 64 {
				if _, err := y.propose(ctx, &command.RegisterNode{Node: all[i], Now: time.Now().UnixNano()}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		y.b.Fatal(err)
	}
	return out
}

func (y *yard) pause(paused bool) {
	y.configure(&structs.SchedulerConfiguration{PauseEvalBroker: paused})
}

func (y *yard) configure(cfg *structs.SchedulerConfiguration) {
	y.b.Helper()
	if _, err := y.SetSchedulerConfig(y.b.Context(), &SchedulerConfigRequest{Config: cfg}); err != nil {
		y.b.Fatal(err)
	}
}

// addJobs registers jobs whose evaluations wait.
func (y *yard) addJobs(prefix string, jobs, count int) {
	y.b.Helper()
	for i := range jobs {
		job := servertest.Job(fmt.Sprint(prefix, i), "batch", count)
		r := job.TaskGroups[0].Tasks[0].Resources
		*r.CPU, *r.MemoryMB = 100, 10
		job.Canonicalize()
		y.commit(&command.RegisterJob{Job: job, Eval: evals.Maker{NewID: ids.New}.New(job, structs.TriggerJobRegister, time.Now()), Now: time.Now().UnixNano()})
	}
}

// place lets the waiting evaluations go and waits until want allocations are
// there.
func (y *yard) place(want int) time.Duration {
	y.b.Helper()
	y.await("the evaluations", func() bool { return y.Figures()["broker.ready"] > 0 })
	began := time.Now()
	y.pause(false)
	y.await("all to be placed", func() bool { return y.store.Snapshot().AllocCount() >= want })
	return time.Since(began)
}

func (y *yard) heap() int64 {
	runtime.GC()
	f, err := account.Process(true)
	if err != nil {
		y.b.Fatal(err)
	}
	return f.HeapBytes
}

// fillFeed pushes what the feed keeps of the past out of it, so that memory is
// that of the state.
func (y *yard) fillFeed() {
	eval := &structs.Evaluation{ID: ids.New(), Namespace: "default", JobID: "none", Status: structs.EvalStatusComplete}
	for range control.FeedSize {
		if _, err := (raftJournal{y.replica}).Propose(&command.UpsertEvals{Evals: []*structs.Evaluation{eval}}); err != nil {
			y.b.Fatal(err)
		}
	}
	if err := y.replica.Barrier(y.b.Context()); err != nil {
		y.b.Fatal(err)
	}
}

// runAll reports every pending allocation as running, as nodes do, 64
// allocations a report, through the door of the reports.
func (y *yard) runAll() {
	y.b.Helper()
	byNode := map[string][]*structs.AllocUpdate{}
	for v := range y.store.Snapshot().AllocViews() {
		now := time.Now()
		node := v.Row().Node.ID
		byNode[node] = append(byNode[node], &structs.AllocUpdate{
			ID: v.ID(), ClientStatus: structs.AllocClientRunning, ModifyTime: now.UnixNano(),
			TaskStates: map[string]*structs.TaskState{"main": {State: structs.TaskStateRunning, StartedAt: now, Events: []*structs.TaskEvent{
				{Type: structs.TaskReceived, Time: now.UnixNano()}, {Type: structs.TaskSetup, Time: now.UnixNano()}, {Type: structs.TaskStarted, Time: now.UnixNano()},
			}}},
		})
	}
	work := make(chan string, len(byNode))
	for node := range byNode {
		work <- node
	}
	close(work)
	group := loop.New(y.b.Context())
	for range 64 {
		group.Go("report", func(ctx context.Context) error {
			for node := range work {
				for updates := byNode[node]; len(updates) > 0; updates = updates[min(64, len(updates)):] {
					if _, err := y.UpdateAllocs(ctx, node, updates[:min(64, len(updates))]); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		y.b.Fatal(err)
	}
}

// once says that a benchmark is a scenario with a clock of its own, which runs
// once however large b.N is.
func once(b *testing.B) { b.ReportMetric(0, "ns/op") }

// rowScale makes the scenarios smaller, to try them out.
func rowScale() int {
	if strings.Contains(os.Getenv("STEPPE_BENCH"), "small") {
		return 100
	}
	return 1
}

// BenchmarkBulk: 100 jobs × 10,000 on 10,000 nodes, scheduled, committed with
// fsync and applied; then all reported running.
func BenchmarkBulk(b *testing.B) {
	once(b)
	scale := rowScale()
	y := newYard(b)
	y.addNodes(10_000/scale, 16_000, 16_000)
	y.pause(true)
	jobs, count := 100, 10_000/scale
	y.addJobs("bulk", jobs, count)
	n := float64(jobs * count)
	y.fillFeed()
	heap, log := y.heap(), y.fsm.counts.Figures()
	took := y.place(jobs * count)
	b.ReportMetric(n/took.Seconds(), "allocs/s")
	placed := y.fsm.counts.Figures()
	b.ReportMetric(float64(placed.Placements.Bytes-log.Placements.Bytes)/n, "log-B/alloc")
	y.fillFeed()
	b.ReportMetric(float64(y.heap()-heap)/n, "heap-B/pending")
	y.runAll()
	b.ReportMetric(float64(y.fsm.counts.Figures().Status.Bytes-placed.Status.Bytes)/n, "log-B/running")
	y.fillFeed()
	b.ReportMetric(float64(y.heap()-heap)/n, "heap-B/running")
}

// BenchmarkTwoMillion: 2,000,000 allocations on 6,100 nodes, until applied.
func BenchmarkTwoMillion(b *testing.B) {
	once(b)
	scale := rowScale()
	y := newYard(b)
	y.addNodes(6_100/scale, 16_000, 16_000)
	y.pause(true)
	jobs, count := 200, 10_000/scale
	y.addJobs("record", jobs, count)
	took := y.place(jobs * count)
	b.ReportMetric(took.Seconds(), "s")
	f, err := account.Process(false)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(f.ResidentBytes)/(1<<30), "GiB")
}

// BenchmarkLargestJob: one job of 1,000,000 on 6,100 nodes, and how long jobs of
// one that are registered meanwhile wait for their place.
func BenchmarkLargestJob(b *testing.B) {
	once(b)
	scale := rowScale()
	y := newYard(b)
	y.addNodes(6_100/scale, 16_000, 16_000)
	const count = 1_000_000
	y.addJobs("largest", 1, count/scale)
	began := time.Now()
	var waits []time.Duration
	placed := func() int { return y.store.Snapshot().AllocCount() - len(waits) }
	for placed() < count/scale {
		name := fmt.Sprint("small", len(waits), "-")
		asked := time.Now()
		y.addJobs(name, 1, 1)
		y.await("a small job to be placed", func() bool { return len(slices.Collect(y.store.Snapshot().AllocsByJob("default", name+"0"))) == 1 })
		waits = append(waits, time.Since(asked))
	}
	b.ReportMetric(time.Since(began).Seconds(), "s")
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2])/1e6, "ms-small-p50")
	b.ReportMetric(float64(waits[len(waits)-1])/1e6, "ms-small-max")
}

// BenchmarkRestart: a server with 1,000,000 allocations in a snapshot starts,
// until it leads and has scheduled one more job.
func BenchmarkRestart(b *testing.B) {
	once(b)
	scale := rowScale()
	y := newYard(b)
	y.addNodes(10_000/scale, 16_000, 16_000)
	y.pause(true)
	y.addJobs("old", 100, 10_000/scale)
	y.place(1_000_000 / scale)
	if err := y.replica.Snapshot(b.Context()); err != nil {
		b.Fatal(err)
	}
	y.stop()
	began := time.Now()
	y.start()
	b.ReportMetric(time.Since(began).Seconds(), "s-until-it-leads")
	y.addJobs("new", 1, 1)
	y.await("the new job to be placed", func() bool { return y.store.Snapshot().AllocCount() > 1_000_000/scale })
	b.ReportMetric(time.Since(began).Seconds(), "s-until-it-schedules")
}

// fullYard is 5,000 nodes with 100,000 allocations.
func fullYard(b *testing.B) (*yard, []string) {
	scale := rowScale()
	y := newYard(b)
	nodes := y.addNodes(5_000/scale, 4_000, 4_000)
	y.configure(&structs.SchedulerConfiguration{PauseEvalBroker: true, SchedulerAlgorithm: structs.SchedulerSpread})
	y.addJobs("work", 100, 1_000/scale)
	began := time.Now()
	y.configure(&structs.SchedulerConfiguration{SchedulerAlgorithm: structs.SchedulerSpread})
	y.await("all to be placed", func() bool { return y.store.Snapshot().AllocCount() >= 100_000/scale })
	b.Logf("filled in %s", time.Since(began))
	return y, nodes
}

// BenchmarkNodesLost: 5 % of 5,000 nodes with 100,000 allocations are declared
// down, until all replacements are placed.
func BenchmarkNodesLost(b *testing.B) {
	once(b)
	y, nodes := fullYard(b)
	y.runAll()
	var gone []string
	lost := 0
	snap := y.store.Snapshot()
	for i, id := range nodes {
		if i%20 == i/20%20 { // one of twenty, of each size as many
			gone = append(gone, id)
			for range snap.AllocViewsByNode(id) {
				lost++
			}
		}
	}
	total := snap.AllocCount()
	began := time.Now()
	if err := y.GiveUp(b.Context(), gone); err != nil {
		b.Fatal(err)
	}
	declared := time.Since(began)
	y.await("all to be replaced", func() bool { return y.store.Snapshot().AllocCount() >= total+lost })
	b.ReportMetric(time.Since(began).Seconds()-declared.Seconds(), "s-after-down")
	b.ReportMetric(declared.Seconds(), "s-to-declare")
	b.ReportMetric(float64(lost), "lost")
}

// BenchmarkJobPlan: job plan of a service of 1,000 on 5,000 nodes with 100,000
// allocations; the best of a few, and the first.
func BenchmarkJobPlan(b *testing.B) {
	y, _ := fullYard(b)
	plan := func() time.Duration {
		job := servertest.Job("proposed", "service", 1_000)
		*job.TaskGroups[0].Tasks[0].Resources.CPU = 50
		began := time.Now()
		if _, err := y.PlanJob(b.Context(), &structs.JobPlanRequest{Job: job, Diff: true}); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	first := plan() // the index is made
	b.ResetTimer()
	for range b.N {
		plan()
	}
	b.ReportMetric(float64(first.Milliseconds()), "ms-first")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/plan")
}

// propose commits a command that no user could send.
func (y *yard) propose(ctx context.Context, c command.Command) (any, error) {
	return raftJournal{y.replica}.Commit(ctx, c)
}
