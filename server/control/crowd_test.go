package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/structs"
)

// addNodeIn adds a node in a pool.
func (w *world) addNodeIn(name, pool string) {
	w.t.Helper()
	n := w.addNode(name)
	described := w.s.store.Snapshot().Node(n.id).Clone()
	described.NodePool = pool
	if _, _, err := w.s.RegisterNode(w.t.Context(), described); err != nil {
		w.t.Fatal(err)
	}
}

// crowd tells a random story of a small cluster that is too full.
func (w *world) crowd(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range 4 {
		w.addNode(fmt.Sprint("n", i))
	}
	for round := range 6 {
		for i := range 8 {
			w.registerIfAdmitted(w.odd(random, fmt.Sprintf("job-%d-%d", round, i)))
		}
		w.pass(time.Duration(random.IntN(10)) * time.Second)
		for range 4 {
			w.disturb(random, round)
		}
		w.pass(30 * time.Second)
		if late := w.blockedThatFit(); len(late) > 0 {
			w.t.Fatalf("round %d: these sleep although they fit: %q\n%s", round, late, w.describe())
		}
	}
}

func (w *world) registerIfAdmitted(job *structs.Job) {
	if _, err := w.s.RegisterJob(w.t.Context(), &structs.JobRegisterRequest{Job: job}); err != nil {
		w.t.Fatal(err)
	}
}

// odd is a job of a random shape.
func (w *world) odd(random *rand.Rand, id string) *structs.Job {
	job := servertest.Job(id, []string{"service", "batch"}[random.IntN(2)], 1+random.IntN(4))
	job.Priority = ptr(10 + 20*random.IntN(5))
	g := job.TaskGroups[0]
	g.Tasks[0].Resources.CPU = ptr(50 + 50*random.IntN(12))
	g.Tasks[0].Resources.MemoryMB = ptr(50 + 50*random.IntN(12))
	switch random.IntN(6) {
	case 0:
		g.Constraints = append(g.Constraints, &structs.Constraint{Operand: structs.OpDistinctHosts, RTarget: "true"})
	case 1:
		g.Networks = []*structs.NetworkResource{{ReservedPorts: []structs.Port{{Label: "http", Value: 8080 + random.IntN(2)}}}}
	case 2:
		job.Constraints = append(job.Constraints, &structs.Constraint{
			LTarget: "${node.unique.name}", Operand: "=", RTarget: fmt.Sprint("n", random.IntN(6)),
		})
	case 3:
		job.Constraints = append(job.Constraints, &structs.Constraint{
			LTarget: "${meta.rack}", Operand: "!=", RTarget: fmt.Sprint("r", random.IntN(2)),
		})
	}
	return job
}

// disturb lets one thing happen to the cluster.
func (w *world) disturb(random *rand.Rand, round int) {
	snap := w.s.store.Snapshot()
	var jobs []*structs.Job
	for j := range snap.Jobs("*", "") {
		if !j.Stopped() {
			jobs = append(jobs, j)
		}
	}
	name := fmt.Sprint("n", random.IntN(4))
	n := w.nodes[name]
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var err error
	switch random.IntN(7) {
	case 0, 1:
		_, err = w.s.DeregisterJob(ctx, &JobDeregisterRequest{JobID: *jobs[random.IntN(len(jobs))].ID, Namespace: "default"})
	case 2:
		name = fmt.Sprintf("x%d-%d", round, random.IntN(1000))
		if w.nodes[name] == nil {
			w.addNode(name)
		}
	case 3:
		eligibility := []string{structs.NodeEligible, structs.NodeIneligible}[random.IntN(2)]
		_, err = w.s.SetNodeEligibility(ctx, &structs.NodeUpdateEligibilityRequest{NodeID: n.id, Eligibility: eligibility})
	case 4: // an attribute that jobs look at changes
		d := snap.Node(n.id).Clone()
		d.Meta = map[string]string{"rack": fmt.Sprint("r", random.IntN(2))}
		_, _, err = w.s.RegisterNode(ctx, d)
	case 5: // an update that replaces what runs
		job := jobs[random.IntN(len(jobs))].Clone()
		job.TaskGroups[0].Tasks[0].Resources.CPU = ptr(50 + 50*random.IntN(12))
		_, err = w.s.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job})
	case 6:
		job := jobs[random.IntN(len(jobs))]
		_, err = w.s.ScaleJob(ctx, *job.ID, scaling(random.IntN(4)))
	}
	var refused *structs.Error
	if err != nil && !errors.As(err, &refused) {
		w.t.Fatal(err)
	}
}

// scaling asks for a count of the test jobs' group.
func scaling(count int) *structs.ScalingRequest {
	return &structs.ScalingRequest{
		Target: map[string]string{"Group": "web"}, Count: ptr(int64(count)),
		WriteRequest: structs.WriteRequest{Namespace: structs.DefaultNamespace},
	}
}

// TestNothingSleepsBesideRoom has jobs of many shapes come, go and end on a few
// nodes, and then asks the scheduler of each evaluation that is still blocked
// whether anything of it would fit.
func TestNothingSleepsBesideRoom(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			play(t, func(t *testing.T, w *world) { w.crowd(seed) })
		})
	}
}

// blockedThatFit lists the jobs that wait for room although there is some.
func (w *world) blockedThatFit() []string {
	synctest.Wait() // until all that this moment brought is done
	snap := w.s.store.Snapshot()
	var out []string
	for e := range snap.EvalsByStatus(structs.EvalStatusBlocked) {
		job := snap.Job(e.Namespace, e.JobID)
		resp, err := w.s.PlanJob(w.t.Context(), &structs.JobPlanRequest{Job: job.Clone()})
		if err != nil {
			w.t.Fatal(err)
		}
		for group, failed := range resp.FailedTGAllocs {
			wanted := e.QueuedAllocations[group]
			if failed.CoalescedFailures+1 < wanted {
				out = append(out, fmt.Sprintf("%s/%s: %d wait, %d would fail", e.JobID, group, wanted, failed.CoalescedFailures+1))
			}
		}
		if len(resp.FailedTGAllocs) == 0 {
			out = append(out, e.JobID)
		}
	}
	return out
}
