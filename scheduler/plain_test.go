package scheduler_test

import (
	"fmt"
	"iter"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// seen is a view that shows its allocations whole.
type seen struct {
	*plain
}

func (s *seen) JobAllocs(_, _ string, _ func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	return s.plain.JobAllocs("", "", nil)
}

// counted is a view that counts the allocations that it had to show whole.
type counted struct {
	*plain
	whole int
}

func (c *counted) JobAllocs(ns, id string, take func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for a := range c.plain.JobAllocs(ns, id, take) {
			c.whole++
			if !yield(a) {
				return
			}
		}
	}
}

// What is decided doesn't depend on whether plain allocations are seen whole,
// and most of a job's are not.
func TestPlainAllocationsNeedNotBeSeenWhole(t *testing.T) {
	const node = "00000000-0000-4000-8000-%012d"
	for name, c := range map[string]struct {
		count  int
		change func(p *plain)
		whole  int // allocations that must be seen whole
		check  func(t *testing.T, d scheduler.Decision)
	}{
		"all is as it should be": {count: 8, change: func(*plain) {}, check: func(t *testing.T, d scheduler.Decision) {
			if !d.Empty() {
				t.Errorf("%+v", d.Plan)
			}
		}},
		"more are wanted, the deployment is gone": {count: 10, change: func(*plain) {}, check: func(t *testing.T, d scheduler.Decision) {
			if rows(d) != 2 || d.Plan.Deployment != nil {
				t.Errorf("%d rows, deployment %+v", rows(d), d.Plan.Deployment)
			}
			if g := d.Plan.Groups[0].Rows; g[0].NameIndex != 8 || g[1].NameIndex != 9 {
				t.Errorf("named %+v", g)
			}
		}},
		"all have ended and are to start again": {count: 8, change: func(p *plain) {
			for _, a := range p.allocs {
				a.DesiredStatus, a.ClientStatus = structs.AllocDesiredStop, structs.AllocClientComplete
			}
		}, check: func(t *testing.T, d scheduler.Decision) {
			if rows(d) != 8 || d.Plan.Deployment != nil {
				t.Errorf("%d rows, deployment %+v", rows(d), d.Plan.Deployment)
			}
		}},
		"fewer are wanted": {count: 5, whole: 8, change: func(*plain) {}, check: func(t *testing.T, d scheduler.Decision) {
			if len(d.Plan.Stops) != 3 {
				t.Errorf("%+v", d.Plan.Stops)
			}
		}},
		"one was told to stop, and its node is down": {count: 8, whole: 1, change: func(p *plain) {
			p.allocs[0].DesiredStatus = structs.AllocDesiredStop
			p.nodes[p.allocs[0].NodeID].Status = structs.NodeStatusDown
		}, check: func(t *testing.T, d scheduler.Decision) {
			if len(d.Plan.Stops) != 1 || d.Plan.Stops[0].ClientStatus != structs.AllocClientLost || rows(d) != 1 {
				t.Errorf("stops %+v, %d rows", d.Plan.Stops, rows(d))
			}
		}},
		"one is lost": {count: 8, whole: 1, change: func(p *plain) {
			p.nodes[p.allocs[3].NodeID].Status = structs.NodeStatusDown
		}, check: func(t *testing.T, d scheduler.Decision) {
			if len(d.Plan.Stops) != 1 || rows(d) != 1 || d.Plan.Groups[0].Rows[0].NameIndex != 3 {
				t.Errorf("stops %+v, %d rows", d.Plan.Stops, rows(d))
			}
		}},
		"one is to move, one has failed": {count: 8, whole: 2, change: func(p *plain) {
			p.allocs[1].DesiredTransition.Migrate = ptr(true)
			p.allocs[2].ClientStatus = structs.AllocClientFailed
		}, check: func(t *testing.T, d scheduler.Decision) {
			if len(d.Plan.Stops) == 0 {
				t.Errorf("stops %+v", d.Plan.Stops)
			}
		}},
		"a node is silent": {count: 8, whole: 1, change: func(p *plain) {
			p.nodes[p.allocs[5].NodeID].Status = structs.NodeStatusDisconnected
		}, check: func(t *testing.T, d scheduler.Decision) {
			if len(d.Plan.Stops) != 1 {
				t.Errorf("stops %+v", d.Plan.Stops)
			}
		}},
		"there is a new version": {count: 8, whole: 8, change: func(p *plain) {
			next := service(8)
			next.Version, next.TaskGroups[0].Tasks[0].Driver = ptr(uint64(1)), "mock"
			next.TaskGroups[0].Tasks[0].Env = map[string]string{"NEW": "1"}
			p.job = next
		}, check: func(t *testing.T, d scheduler.Decision) {
			if rows(d) != 1 || d.Plan.Deployment == nil {
				t.Errorf("%d rows, deployment %+v", rows(d), d.Plan.Deployment)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, capacity := farm(10, 0)
			p.job = service(c.count)
			for i := range 8 {
				a := &structs.Allocation{
					ID: fmt.Sprintf("30000000-0000-4000-8000-%012d", i), Namespace: "default", Name: structs.AllocName("web", "web", uint32(i)),
					NodeID: fmt.Sprintf(node, i), JobID: "web", Job: p.job, TaskGroup: "web",
					DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientRunning,
					AllocatedResources: p.job.TaskGroups[0].AllocatedResources(),
				}
				capacity.SetAlloc(a)
				p.allocs = append(p.allocs, a)
			}
			c.change(p)
			views := []scheduler.View{&counted{plain: p}, &seen{plain: p}}
			var decisions []scheduler.Decision
			for _, v := range views {
				in := input(p, capacity)
				in.View = v
				d, err := scheduler.Schedule(in)
				if err != nil {
					t.Fatal(err)
				}
				decisions = append(decisions, d)
			}
			if diff := cmp.Diff(decisions[1], decisions[0]); diff != "" {
				t.Errorf("all seen whole and plain ones not (-all +not):\n%s", diff)
			}
			c.check(t, decisions[0])
			if n := views[0].(*counted).whole; n != c.whole {
				t.Errorf("%d of 8 were seen whole, want %d", n, c.whole)
			}
		})
	}
}

// A job with very many allocations is stopped, updated and filled up in plans of
// bounded size.
func TestChangesOfVeryLargeJobsComeInSlices(t *testing.T) {
	const more = 10
	p, capacity := farm(10, 0)
	old := service(scheduler.MaxChanges + more)
	for i := range *old.TaskGroups[0].Count {
		p.allocs = append(p.allocs, &structs.Allocation{
			ID: fmt.Sprintf("30000000-0000-4000-8000-%012d", i), Namespace: "default", Name: structs.AllocName("web", "web", uint32(i)),
			NodeID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i%10), JobID: "web", Job: old, TaskGroup: "web",
			DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientRunning,
		})
	}
	byID := map[string]*structs.Allocation{}
	for _, a := range p.allocs {
		byID[a.ID] = a
	}
	decide := func() scheduler.Decision {
		t.Helper()
		d, err := scheduler.Schedule(input(p, capacity))
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range d.Plan.InPlace {
			byID[u.AllocID].Job = p.job
		}
		for _, s := range d.Plan.Stops {
			byID[s.AllocID].DesiredStatus = s.DesiredStatus
		}
		if d.Plan.Deployment != nil {
			p.deploy = d.Plan.Deployment
		}
		return d
	}
	expect := func(what string, d scheduler.Decision, stops, updates, placed int, again bool) {
		t.Helper()
		if len(d.Plan.Stops) != stops || len(d.Plan.InPlace) != updates || rows(d) != placed || d.More != again {
			t.Errorf("%s: %d stops, %d updates, %d rows, more: %t", what, len(d.Plan.Stops), len(d.Plan.InPlace), rows(d), d.More)
		}
	}
	p.job = service(scheduler.MaxChanges + more + 5) // another version, the same tasks
	p.job.Version = ptr(uint64(1))
	expect("the first part of the updates", decide(), 0, scheduler.MaxChanges, 0, true)
	expect("the rest, and the new ones", decide(), 0, more, 5, false)
	p.job.Stop = ptr(true)
	expect("the first part of the stops", decide(), scheduler.MaxChanges, 0, 0, true)
	expect("the rest of them", decide(), more, 0, 0, false)
}

// A job that asks for far more than there is room for costs what fits and a
// count of the rest.
func TestWhatCantBePlacedIsCountedNotListed(t *testing.T) {
	p, capacity := farm(4, 0)
	room := 0
	for _, n := range p.nodes {
		room += int(min(n.NodeResources.Cpu.CpuShares/100, n.NodeResources.Memory.MemoryMB/128))
	}
	const count = 1_000_000
	p.job = service(count)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := scheduler.Schedule(input(p, capacity))
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	left := count - room
	m := d.Eval.FailedTGAllocs["web"]
	if rows(d) != room || d.More || d.Eval.QueuedAllocations["web"] != left || m == nil || m.CoalescedFailures != left-1 {
		t.Errorf("%d of %d placed, more: %t, %d queued, %+v", rows(d), room, d.More, d.Eval.QueuedAllocations["web"], m)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 20*count {
		t.Errorf("deciding took %d bytes of memory", took)
	}
}
