package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/client/fingerprint"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCluster(t testing.TB, seed uint64, servers, nodes int) *Cluster {
	t.Helper()
	c, err := New(Config{Seed: seed, Servers: servers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for i := range nodes {
		_, err := c.AddNode(node.Config{
			Name:   fmt.Sprint("node-", i+1),
			Client: client.Config{Speaks: "1.10.0"},
			Facts:  fingerprint.Facts{Attributes: map[string]string{"kernel.name": "linux", "os.name": "sim"}, MHz: 4000, Cores: 4, MemoryMB: 4000, DiskMB: 100_000},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func job(id string, count int) *structs.Job {
	kind, group := "service", "web"
	cpu, memory := 100, 100
	return &structs.Job{ID: &id, Name: &id, Type: &kind, TaskGroups: []*structs.TaskGroup{{
		Name: &group, Count: &count,
		Tasks: []*structs.Task{{Name: "main", Driver: node.DriverName, Resources: &structs.Resources{CPU: &cpu, MemoryMB: &memory}}},
	}}}
}

func TestAServiceIsDeployed(t *testing.T) {
	c := newCluster(t, 1, 3, 5)
	var failed error
	c.Ask("register", func(ctx context.Context, on *control.Control) error {
		_, err := on.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job("web", 10)})
		return err
	}, func(err error) { failed = err })
	ok := c.Until(5*time.Minute, func() bool {
		d := c.Snapshot().LatestDeployment("default", "web")
		return d != nil && d.Status == structs.DeploymentStatusSuccessful
	})
	if failed != nil || !ok {
		for a := range c.Snapshot().Allocs("*", "") {
			t.Log(a.ID, a.ClientStatus, a.DesiredStatus, a.DeploymentStatus)
		}
		for n := range c.Snapshot().Nodes("") {
			t.Log(n.Name, n.Status, n.Drivers)
		}
		t.Fatalf("not deployed at %s, register: %v, leader %v", c.Now().Sub(Begin), failed, c.Leader() != nil)
	}
	t.Logf("deployed after %s in %d steps", c.Now().Sub(Begin), c.Runtime().Steps())
}

// history is what the state was after each entry, up to a time.
func history(t *testing.T, seed uint64) (hash [32]byte, entries uint64, steps int) {
	t.Helper()
	c := newCluster(t, seed, 3, 5)
	c.Ask("register", func(ctx context.Context, on *control.Control) error {
		_, err := on.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job("web", 10)})
		return err
	}, nil)
	c.Pass(10 * time.Second)
	c.Servers()[0].Crash()
	c.Pass(10 * time.Second)
	c.Nodes()[0].Die()
	c.Pass(20 * time.Second)
	if err := c.Servers()[0].Start(); err != nil {
		t.Fatal(err)
	}
	c.Pass(2 * time.Minute)
	snap := c.Snapshot()
	return snap.StateHash(), snap.Index(), c.Runtime().Steps()
}

func TestOneSeedIsOneHistory(t *testing.T) {
	different := map[[32]byte]bool{}
	for seed := range uint64(5) {
		hash, entries, steps := history(t, seed)
		again, entriesAgain, stepsAgain := history(t, seed)
		if hash != again || entries != entriesAgain || steps != stepsAgain {
			t.Errorf("seed %d: %d entries in %d steps, then %d in %d", seed, entries, steps, entriesAgain, stepsAgain)
		}
		different[hash] = true
	}
	if len(different) < 2 {
		t.Error("all seeds are one history")
	}
}

// BenchmarkHour is an hour in the life of 50 nodes with 500 allocations.
func BenchmarkHour(b *testing.B) {
	for b.Loop() {
		c := newCluster(b, 1, 3, 50)
		for i := range 5 {
			c.Ask("register", func(ctx context.Context, on *control.Control) error {
				_, err := on.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job(fmt.Sprint("web", i), 100)})
				return err
			}, nil)
		}
		c.Pass(time.Hour)
		if n := c.Snapshot().AllocCount(); n != 500 {
			b.Fatalf("%d allocations", n)
		}
		b.ReportMetric(float64(c.Runtime().Steps()), "steps")
	}
}
