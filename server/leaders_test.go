package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// council is three real servers, of which some are away at times.
type council struct {
	t *testing.T

	mu      sync.Mutex
	servers map[string]*real
}

func newCouncil(t *testing.T) *council {
	c := &council{t: t, servers: map[string]*real{}}
	ca, join := t.TempDir(), ""
	for _, name := range []string{"one", "two", "three"} {
		cfg := realConfig(t, name, ca, 3)
		cfg.HeartbeatGrace = time.Hour // nobody beats for these nodes
		if join != "" {
			cfg.RetryJoin = []string{join}
		}
		r := startReal(t, cfg)
		join = r.SerfAddr()
		// It comes back under the addresses by which the others know it.
		r.cfg.LinkAddr, r.cfg.SerfAddr = r.LinkAddr(), r.SerfAddr()
		c.servers[name] = r
	}
	return c
}

// leader is the server that leads, or nil.
func (c *council) leader() *real {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.servers {
		if r.leads() {
			return r
		}
	}
	return nil
}

func (c *council) awaitLeader() *real {
	c.t.Helper()
	var r *real
	testx.Eventually(c.t, councilLimit, "a server leads", func() bool { r = c.leader(); return r != nil })
	return r
}

// stop ends a server; start brings it back with what it had on disk.
func (c *council) stop(r *real) {
	c.mu.Lock()
	delete(c.servers, r.cfg.Name)
	c.mu.Unlock()
	r.stop()
}

func (c *council) start(r *real) {
	again := startReal(c.t, r.cfg)
	c.mu.Lock()
	c.servers[r.cfg.Name] = again
	c.mu.Unlock()
}

// stepDown has the leader hand over to another one, if it still can.
func (c *council) stepDown(r *real) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	servers, _, err := r.replica.Configuration()
	if err != nil {
		return
	}
	for _, s := range servers {
		if s.ID != r.id {
			_ = r.TransferLeadership(ctx, s.ID, "") // it may have lost leadership by itself
			return
		}
	}
}

// insist asks whoever leads until it is done, as a user would who gets errors.
func (c *council) insist(ctx context.Context, do func(*real) error) error {
	last := structs.ErrNoLeader.Text
	for {
		if r := c.leader(); r != nil {
			err := do(r)
			if err == nil {
				return nil
			}
			last = err.Error()
		}
		pause := clock.Real{}.NewTimer(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, at last: %s", ctx.Err(), last)
		case <-pause.C():
		}
	}
}

// The cluster of the test holds what is asked of it and no more, so that one
// allocation too many leaves another one without room.
const (
	councilNodes   = 50
	councilWriters = 4
	councilJobs    = 150             // by each writer
	councilLimit   = 2 * time.Minute // on a machine that is busy with other things
)

// countOf makes the counts of the jobs add up to what the nodes hold: one large
// job, which takes long, and many small ones.
func countOf(i int) int {
	if i == 0 {
		return 50
	}
	return 1 + i%3
}

func councilRoom() (nodes int, per int) {
	want := 0
	for i := range councilJobs {
		want += councilWriters * countOf(i)
	}
	per = (want + councilNodes - 1) / councilNodes
	return councilNodes, per
}

// Leadership is lost five times while jobs are registered and placed: twice the
// leader hands over, three times it is stopped and comes back later. Every job
// that was acknowledged is then placed exactly as asked.
func TestLeadersComeAndGoWhileJobsArePlaced(t *testing.T) {
	c := newCouncil(t)
	c.awaitLeader()
	nodes, per := councilRoom()
	ctx, cancel := context.WithTimeout(t.Context(), councilLimit)
	defer cancel()
	for i := range nodes {
		n := servertest.Node(fmt.Sprint("n", i))
		n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB = int64(100*per), int64(100*per)
		if err := c.insist(ctx, func(r *real) error { _, _, err := r.RegisterNode(ctx, n); return err }); err != nil {
			t.Fatal(err)
		}
	}
	var acknowledged atomic.Int64
	writers := loop.New(ctx)
	for w := range councilWriters {
		writers.Go(fmt.Sprint("writer ", w), func(ctx context.Context) error {
			for i := range councilJobs {
				job := servertest.Job(fmt.Sprintf("job-%d-%d", w, i), "batch", countOf(i))
				if err := c.insist(ctx, func(r *real) error {
					_, err := r.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job.Clone()})
					return err
				}); err != nil {
					return err
				}
				acknowledged.Add(1)
			}
			return nil
		})
	}
	const disturbances = 5
	for i := range disturbances {
		due := int64((i + 1) * councilWriters * councilJobs / (disturbances + 1))
		testx.Eventually(t, councilLimit, fmt.Sprint(due, " jobs are acknowledged"), func() bool { return acknowledged.Load() >= due })
		r := c.awaitLeader()
		t.Logf("%d jobs are acknowledged, %s goes", acknowledged.Load(), r.cfg.Name)
		if i%2 == 1 {
			c.stepDown(r)
			continue
		}
		c.stop(r)
		c.awaitLeader()
		c.start(r)
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	c.judge(per)
}

// judge looks at the state of the leader once it has nothing left to do, and
// then whether the others have the same.
func (c *council) judge(per int) {
	t := c.t
	t.Helper()
	var snap *state.Snapshot
	testx.Eventually(t, councilLimit, "nothing is pending and everything placed", func() bool {
		r := c.leader()
		if r == nil {
			return false
		}
		snap = r.Store().Snapshot()
		for range snap.EvalsByStatus(structs.EvalStatusPending) {
			return false
		}
		return true
	})
	for w := range councilWriters {
		for i := range councilJobs {
			id, names, n := fmt.Sprintf("job-%d-%d", w, i), map[string]bool{}, 0
			for a := range snap.AllocsByJob("default", id) {
				n++
				if names[a.Name] {
					t.Errorf("%s is there twice", a.Name)
				}
				names[a.Name] = true
			}
			if n != countOf(i) {
				t.Errorf("%s has %d allocations, want %d", id, n, countOf(i))
			}
		}
	}
	for n := range snap.Nodes("") {
		used := 0
		for range snap.AllocsByNode(n.ID) {
			used++
		}
		if used > per {
			t.Errorf("node %s has %d allocations, it has room for %d", n.Name, used, per)
		}
	}
	for e := range snap.EvalsByStatus(structs.EvalStatusBlocked) {
		t.Errorf("evaluation of %s still waits: %s", e.JobID, e.StatusDescription)
	}
	testx.Eventually(t, councilLimit, "all servers have the same state", func() bool {
		hashes := map[[32]byte]bool{}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range c.servers {
			hashes[r.Store().Snapshot().StateHash()] = true
		}
		return len(hashes) == 1 && len(c.servers) == 3
	})
}

// Closing gossip doesn't wait for a probe of another member that is under way; a
// probe ends by itself within its timeout.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// Every second launch is due while somebody else begins to lead, and each
// dispatch is asked for of several servers at once: all the same each launch and
// each dispatch is made once.
func TestLeadersComeAndGoWhileJobsAreLaunched(t *testing.T) {
	const periodicJobs, tokens, reigns = 5, 10, 3
	c := newCouncil(t)
	c.awaitLeader()
	ctx, cancel := context.WithTimeout(t.Context(), councilLimit)
	defer cancel()
	register := func(job *structs.Job) {
		if err := c.insist(ctx, func(r *real) error {
			_, err := r.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job.Clone()})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range periodicJobs {
		job := servertest.Job(fmt.Sprint("cron-", i), structs.JobTypeBatch, 1)
		job.Periodic = &structs.PeriodicConfig{Specs: []string{"*/2 * * * * * *"}}
		register(job)
	}
	pack := servertest.Job("pack", structs.JobTypeBatch, 1)
	pack.ParameterizedJob = &structs.ParameterizedJobConfig{}
	register(pack)

	var asked atomic.Int64
	users := loop.New(ctx)
	for u := range 4 {
		users.Go(fmt.Sprint("user ", u), func(ctx context.Context) error {
			for i := range tokens {
				if err := c.insist(ctx, func(r *real) error {
					d := &structs.JobDispatch{IdempotencyToken: fmt.Sprint("token-", i), WriteRequest: structs.WriteRequest{Namespace: structs.DefaultNamespace}}
					d.JobID = "pack"
					_, err := r.DispatchJob(ctx, d)
					return err
				}); err != nil {
					return err
				}
				asked.Add(1)
			}
			return nil
		})
	}
	launched := func() (n int) {
		r := c.leader()
		if r == nil {
			return 0
		}
		snap := r.Store().Snapshot()
		for i := range periodicJobs {
			for range snap.JobChildren(structs.DefaultNamespace, fmt.Sprint("cron-", i)) {
				n++
			}
		}
		return n
	}
	for i := range reigns {
		testx.Eventually(t, councilLimit, "jobs are launched", func() bool { return launched() >= (i+1)*2*periodicJobs })
		r := c.awaitLeader()
		if i%2 == 0 {
			c.stepDown(r)
			continue
		}
		c.stop(r)
		c.awaitLeader()
		c.start(r)
	}
	if err := users.Wait(); err != nil {
		t.Fatal(err)
	}
	before := launched()
	testx.Eventually(t, councilLimit, "jobs are launched at last", func() bool { return launched() >= before+periodicJobs })
	snap := c.awaitLeader().Store().Snapshot()
	dispatched := map[string]int{}
	for j := range snap.JobChildren(structs.DefaultNamespace, "pack") {
		dispatched[*j.DispatchIdempotencyToken]++
	}
	for token, n := range dispatched {
		if n != 1 || len(dispatched) != tokens {
			t.Errorf("token %s has made %d jobs; there are %d tokens", token, n, len(dispatched))
		}
	}
	for i := range periodicJobs {
		id, evals := fmt.Sprint("cron-", i), 0
		for j := range snap.JobChildren(structs.DefaultNamespace, id) {
			var at int64
			if _, err := fmt.Sscanf(j.GetID(), id+"/periodic-%d", &at); err != nil || at%2 != 0 || at > snap.LaunchedUntil(structs.DefaultNamespace, id) {
				t.Errorf("child %s: %v", j.GetID(), err)
			}
			if j.GetVersion() != 0 {
				t.Errorf("child %s was registered %d times", j.GetID(), j.GetVersion()+1)
			}
			n := 0
			for e := range snap.EvalsByJob(structs.DefaultNamespace, j.GetID()) {
				if e.TriggeredBy == structs.TriggerPeriodicJob {
					n++
				}
			}
			if evals += n; n != 1 {
				t.Errorf("child %s has %d evaluations", j.GetID(), n)
			}
		}
		if evals == 0 {
			t.Errorf("%s was never launched", id)
		}
	}
}
