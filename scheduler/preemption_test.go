package scheduler_test

import (
	"iter"
	"testing"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// tenants is what runs on nodes.
type tenants map[string][]*structs.Allocation

// AllocsByNode implements scheduler.Running.
func (t tenants) AllocsByNode(id string) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for _, a := range t[id] {
			if !yield(a) {
				return
			}
		}
	}
}

// full is n nodes, each taken up by an allocation of a job of low priority.
func full(n int) (*plain, *scheduler.Capacity, tenants) {
	p, c := farm(n, 0)
	low := service(n)
	low.ID, low.Priority = ptr("low"), ptr(20)
	running := tenants{}
	for id, node := range p.nodes {
		a := &structs.Allocation{
			ID: "2" + id[1:24] + "9" + id[25:], NodeID: id, Namespace: "default", JobID: "low", TaskGroup: "web", Job: low,
			AllocatedResources: &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{"web": {
				Cpu: structs.AllocatedCpuResources{CpuShares: node.NodeResources.Cpu.CpuShares},
			}}},
		}
		running[id] = []*structs.Allocation{a}
		c.SetAlloc(a)
	}
	return p, c, running
}

// TestManyHaveToGoInSlices lets a job take the room of more allocations than
// one plan may evict; their job is told with every plan.
func TestManyHaveToGoInSlices(t *testing.T) {
	p, c, running := full(300)
	p.job = service(300)
	p.job.Priority = ptr(80)
	p.job.Constraints = append(p.job.Constraints, &structs.Constraint{Operand: structs.OpDistinctHosts})
	in := input(p, c)
	in.Running = running
	if d, err := scheduler.Schedule(in); err != nil || rows(d) != 0 || d.Eval.QueuedAllocations["web"] != 300 {
		t.Fatalf("%v; %d placed although nobody has to go", err, rows(d))
	}
	in.Config = &structs.SchedulerConfiguration{PreemptionConfig: structs.PreemptionConfig{ServiceSchedulerEnabled: true}}
	d, err := scheduler.Schedule(in)
	if err != nil || !d.More || rows(d) != 256 || len(d.FollowUps) != 1 {
		t.Fatalf("%v; more %t, %d placed, follow-ups %+v", err, d.More, rows(d), d.FollowUps)
	}
	if f := d.FollowUps[0]; f.JobID != "low" || f.TriggeredBy != structs.TriggerPreemption || f.Priority != 20 {
		t.Errorf("follow-up %+v", f)
	}
	gone := map[string]bool{}
	for _, g := range d.Plan.Groups {
		for _, row := range g.Rows {
			if len(row.Preempts) != 1 || gone[row.Preempts[0]] || running[row.NodeID][0].ID != row.Preempts[0] {
				t.Fatalf("%v go from %s", row.Preempts, row.NodeID)
			}
			gone[row.Preempts[0]] = true
		}
	}
	c.Hold(d.Plan, planIDs())
	for id := range gone {
		if _, _, counted := c.AllocNode(id); counted {
			t.Fatalf("%s still counts while its eviction is under way", id)
		}
	}
	in.Annotate = true
	d, err = scheduler.Schedule(in)
	if err != nil || d.More {
		t.Fatalf("%v; a rehearsal that shows only a part: %t", err, d.More)
	}
	if n := len(d.Annotations.PreemptedAllocs); n != 44 || d.Annotations.DesiredTGUpdates["web"].Preemptions != 44 {
		t.Errorf("%d of the remaining 44 have to go, %+v", n, d.Annotations.DesiredTGUpdates["web"])
	}
}

// pooled is a view in which the job's pool has a configuration.
type pooled struct {
	*plain
	pool *structs.NodePool
}

// NodePool implements scheduler.View.
func (p pooled) NodePool(string) *structs.NodePool { return p.pool }

func TestMemoryMaxWhereItIsAllowed(t *testing.T) {
	for _, test := range []struct {
		cluster bool
		pool    *bool
		want    int64
	}{{false, nil, 0}, {true, nil, 512}, {true, ptr(false), 0}, {false, ptr(true), 512}} {
		p, c := farm(1, 0)
		p.job = service(1)
		p.job.TaskGroups[0].Tasks[0].Resources.MemoryMaxMB = ptr(512)
		in := input(p, c)
		in.View = pooled{p, &structs.NodePool{Name: "default", SchedulerConfiguration: &structs.NodePoolSchedulerConfiguration{MemoryOversubscriptionEnabled: test.pool}}}
		in.Config = &structs.SchedulerConfiguration{MemoryOversubscriptionEnabled: test.cluster}
		d, err := scheduler.Schedule(in)
		if err != nil || rows(d) != 1 {
			t.Fatalf("%v, %d placed", err, rows(d))
		}
		if got := d.Plan.Groups[0].Resources.Tasks["web"].Memory; got.MemoryMB != 128 || got.MemoryMaxMB != test.want {
			t.Errorf("cluster %t, pool %v: %+v, want a limit of %d", test.cluster, test.pool, got, test.want)
		}
	}
}
