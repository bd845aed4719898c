package httpapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/server"
)

// poolWith makes a node pool of so many nodes through the published client.
func poolWith(t *testing.T, srv *server.Server, c *nomad.Client, pool *nomad.NodePool, nodes int) {
	t.Helper()
	if _, err := c.NodePools().Register(pool, nil); err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		n := testNode(fmt.Sprint(pool.Name, i))
		n.NodePool = pool.Name
		if _, _, err := srv.RegisterNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
}

// placedIn registers a job in a pool and returns its allocation.
func placedIn(t *testing.T, c *nomad.Client, id, pool string) *nomad.Allocation {
	t.Helper()
	job := theirJob(id, 1)
	job.NodePool = &pool
	job.TaskGroups[0].Tasks[0].Resources.MemoryMaxMB = ptr(256)
	resp, _, err := c.Jobs().Register(job, nil)
	if err != nil {
		t.Fatal(err)
	}
	var allocs []*nomad.AllocationListStub
	testx.Eventually(t, 10*time.Second, id+" is placed", func() bool {
		allocs, _, err = c.Evaluations().Allocations(resp.EvalID, nil)
		return err == nil && len(allocs) == 1
	})
	whole, _, err := c.Allocations().Info(allocs[0].ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// A pool's own settings decide how its jobs are placed, whatever the cluster's
// are, and a change of them counts from then on.
func TestPoolsPlaceAsTheySay(t *testing.T) {
	srv, url := realServer(t)
	c := published(t, url)
	wide := &nomad.NodePool{Name: "wide", SchedulerConfiguration: &nomad.NodePoolSchedulerConfiguration{
		SchedulerAlgorithm: nomad.SchedulerAlgorithmSpread, MemoryOversubscriptionEnabled: ptr(true),
	}}
	poolWith(t, srv, c, wide, 3)
	poolWith(t, srv, c, &nomad.NodePool{Name: "plain"}, 3)
	used := func(prefix, pool string, maxMB int64) int {
		nodes := map[string]bool{}
		for i := range 3 {
			a := placedIn(t, c, fmt.Sprint(prefix, i), pool)
			nodes[a.NodeID] = true
			if got := a.AllocatedResources.Tasks["main"].Memory.MemoryMaxMB; got != maxMB {
				t.Errorf("%s: a task in %s may use %d MB of memory, want %d", prefix, pool, got, maxMB)
			}
			if !strings.HasPrefix(a.NodeName, pool) {
				t.Errorf("%s: a job of pool %s is on %s", prefix, pool, a.NodeName)
			}
		}
		return len(nodes)
	}
	if n := used("spread", "wide", 256); n != 3 {
		t.Errorf("3 jobs in a pool that spreads are on %d nodes", n)
	}
	if n := used("packed", "plain", 0); n != 1 {
		t.Errorf("3 jobs in a pool without settings are on %d nodes", n)
	}
	wide.SchedulerConfiguration = &nomad.NodePoolSchedulerConfiguration{SchedulerAlgorithm: nomad.SchedulerAlgorithmBinpack}
	if _, err := c.NodePools().Register(wide, nil); err != nil {
		t.Fatal(err)
	}
	if n := used("again", "wide", 0); n != 1 {
		t.Errorf("3 jobs in a pool that packs now are on %d nodes", n)
	}
}

func TestPublishedClientKeepsPools(t *testing.T) {
	srv, url := realServer(t)
	c := published(t, url)
	poolWith(t, srv, c, &nomad.NodePool{Name: "gpu", Description: "fast", Meta: map[string]string{"owner": "me"}}, 1)
	placedIn(t, c, "web", "gpu")
	if p, _, err := c.NodePools().Info("gpu", nil); err != nil || p.Description != "fast" || p.Meta["owner"] != "me" || p.CreateIndex == 0 {
		t.Errorf("pool %+v: %v", p, err)
	}
	if nodes, _, err := c.NodePools().ListNodes("gpu", nil); err != nil || len(nodes) != 1 || nodes[0].NodePool != "gpu" {
		t.Errorf("nodes %+v: %v", nodes, err)
	}
	if nodes, _, err := c.NodePools().ListNodes("all", nil); err != nil || len(nodes) != 1 {
		t.Errorf("all nodes %+v: %v", nodes, err)
	}
	if jobs, _, err := c.NodePools().ListJobs("gpu", nil); err != nil || len(jobs) != 1 || jobs[0].ID != "web" {
		t.Errorf("jobs %+v: %v", jobs, err)
	}
	if pools, _, err := c.NodePools().PrefixList("g", nil); err != nil || len(pools) != 1 {
		t.Errorf("pools %+v: %v", pools, err)
	}

	_, err := c.NodePools().Register(&nomad.NodePool{
		Name: "a b", Description: strings.Repeat("x", 257),
		SchedulerConfiguration: &nomad.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "random"},
	}, nil)
	for _, part := range []string{"invalid node pool: 3 errors", `invalid name "a b"`, "256 characters", `"random" is unknown: use binpack or spread`} {
		refused(t, err, 400, part)
	}
	for _, name := range []string{"all", "default"} {
		_, err = c.NodePools().Register(&nomad.NodePool{Name: name, Description: "mine"}, nil)
		refused(t, err, 400, "built in")
		_, err = c.NodePools().Delete(name, nil)
		refused(t, err, 500, "built in")
	}
	_, err = c.NodePools().Delete("gpu", nil)
	refused(t, err, 500, "it has nodes")
	refused(t, err, 500, "it has jobs, web among them")
	_, err = c.NodePools().Delete("cpu", nil)
	refused(t, err, 404, "node pool not found")
	_, _, err = c.NodePools().ListJobs("cpu", nil)
	refused(t, err, 404, "node pool not found")
	if got := ask(t, "PUT", url+"/v1/node/pool/gpu", `{"Name":"cpu"}`); got.status != 400 || got.body != "Node pool name does not match request path" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if _, err := c.NodePools().Register(&nomad.NodePool{Name: "empty"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.NodePools().Delete("empty", nil); err != nil {
		t.Error(err)
	}
}
