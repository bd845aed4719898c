package scheduler_test

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

// plain is a view of one job on many nodes.
type plain struct {
	job    *structs.Job
	nodes  map[string]*structs.Node
	allocs []*structs.Allocation
	deploy *structs.Deployment
}

func (p *plain) Job(_, _ string) *structs.Job                     { return p.job }
func (p *plain) Eval(string) *structs.Evaluation                  { return nil }
func (p *plain) Node(id string) *structs.Node                     { return p.nodes[id] }
func (p *plain) NodePool(string) *structs.NodePool                { return nil }
func (p *plain) LatestDeployment(_, _ string) *structs.Deployment { return p.deploy }

func (p *plain) JobAllocs(_, _ string, take func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for _, a := range p.allocs {
			if seen, plain := a.Plain(); plain && take != nil && take(&seen) {
				continue
			}
			if !yield(a) {
				return
			}
		}
	}
}

// farm is n nodes of four sizes in 50 racks, each with `busy` small allocations.
func farm(n, busy int) (*plain, *scheduler.Capacity) {
	p, c := &plain{nodes: map[string]*structs.Node{}}, scheduler.NewCapacity()
	for i := range n {
		node := &structs.Node{
			ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Name: fmt.Sprintf("node-%d", i), Datacenter: "dc1",
			NodePool: "default", Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
			ComputedClass: fmt.Sprintf("class-%d", i%4),
			Attributes:    map[string]string{"kernel.name": "linux", "rack": fmt.Sprintf("r%d", i%50)},
			Drivers:       map[string]*structs.DriverInfo{"mock": {Detected: true, Healthy: true}},
			NodeResources: &structs.NodeResources{
				Cpu:      structs.NodeCpuResources{CpuShares: int64(8000 * (1 + i%4))},
				Memory:   structs.NodeMemoryResources{MemoryMB: int64(16384 * (1 + i%4))},
				Disk:     structs.NodeDiskResources{DiskMB: 1_000_000},
				Networks: []*structs.NetworkResource{{Mode: "host", IP: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}},
			},
		}
		p.nodes[node.ID] = node
		c.UpsertNode(node)
		for k := range busy {
			c.SetAlloc(&structs.Allocation{
				ID: fmt.Sprintf("10000000-%04d-4000-8000-%012d", k, i), NodeID: node.ID,
				AllocatedResources: &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{"t": {
					Cpu: structs.AllocatedCpuResources{CpuShares: 50}, Memory: structs.AllocatedMemoryResources{MemoryMB: 64},
				}}},
			})
		}
	}
	return p, c
}

func service(count int) *structs.Job {
	return &structs.Job{
		ID: ptr("web"), Name: ptr("web"), Namespace: ptr("default"), Type: ptr("service"), Datacenters: []string{"*"},
		Version: ptr(uint64(0)), CreateIndex: ptr(uint64(1)),
		Constraints: []*structs.Constraint{{LTarget: "${attr.kernel.name}", Operand: "=", RTarget: "linux"}},
		TaskGroups: []*structs.TaskGroup{{
			Name: ptr("web"), Count: &count, Update: &structs.UpdateStrategy{MaxParallel: ptr(1)},
			Tasks: []*structs.Task{{Name: "web", Driver: "mock", Resources: &structs.Resources{CPU: ptr(100), MemoryMB: ptr(128)}}},
		}},
	}
}

func input(p *plain, c *scheduler.Capacity) scheduler.Input {
	n := 0
	return scheduler.Input{
		View: p, Capacity: c, Now: time.Unix(1_700_000_000, 0), Seed: 42,
		Eval:  &structs.Evaluation{ID: "eval", Namespace: "default", JobID: "web", Type: structs.JobTypeService, Priority: 50},
		NewID: func() string { n++; return fmt.Sprintf("20000000-0000-4000-8000-%012d", n) },
	}
}

func BenchmarkSchedule(b *testing.B) {
	for _, bench := range []struct {
		name                string
		nodes, busy, count  int
		ports, spread, kept bool
		crowd               int
	}{
		{name: "1000on1000", nodes: 1000, count: 1000},
		{name: "1000on1000busy", nodes: 1000, busy: 12, count: 1000},
		{name: "1000on1000ports", nodes: 1000, count: 1000, ports: true},
		{name: "1000on5000empty", nodes: 5000, count: 1000},
		{name: "1000on5000", nodes: 5000, busy: 12, count: 1000},
		{name: "1000on5000spread", nodes: 5000, count: 1000, spread: true},
		{name: "1000on10000", nodes: 10000, count: 1000},
		{name: "10on10000", nodes: 10000, count: 10},
		{name: "1000running", nodes: 1000, count: 1000, kept: true},
		{name: "1on5000preempting", nodes: 5000, count: 1, crowd: 12},
		{name: "100on5000preempting", nodes: 5000, count: 100, crowd: 12},
		{name: "100on5000preemptingequals", nodes: 5000, count: 100, crowd: 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p, c := farm(bench.nodes, bench.busy)
			var running tenants
			if bench.crowd > 0 {
				running = crowd(p, c, bench.crowd)
			}
			p.job = service(bench.count)
			g := p.job.TaskGroups[0]
			if bench.ports {
				g.Networks = []*structs.NetworkResource{{DynamicPorts: []structs.Port{{Label: "http"}, {Label: "admin"}}}}
			}
			if bench.spread {
				g.Spreads = []*structs.Spread{{Attribute: "${attr.rack}"}}
			}
			if bench.kept {
				p.allocs = run(b, p, c)
			}
			if bench.crowd > 0 {
				p.job.Priority, p.job.AllAtOnce = ptr(90), ptr(true)
			}
			b.ReportAllocs()
			var scratch scheduler.Scratch
			for b.Loop() {
				in := input(p, c)
				in.Scratch = &scratch
				if running != nil {
					in.Running, in.Config = running, preempting()
				}
				d, err := scheduler.Schedule(in)
				if err != nil || len(d.Eval.FailedTGAllocs) > 0 {
					b.Fatal(err, d.Eval.FailedTGAllocs)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bench.count), "ns/placement")
		})
	}
}

func preempting() *structs.SchedulerConfiguration {
	return &structs.SchedulerConfiguration{PreemptionConfig: structs.PreemptionConfig{ServiceSchedulerEnabled: true}}
}

// crowd fills every node with n allocations of jobs of low priority: of 200 jobs
// of four priorities and different sizes, or all of one job if n is 1.
func crowd(p *plain, c *scheduler.Capacity, n int) tenants {
	var jobs []*structs.Job
	for i := range 200 {
		low := service(1)
		low.ID, low.Priority = ptr(fmt.Sprintf("low-%d", i)), ptr(20+i%4*10)
		low.TaskGroups[0].Migrate = structs.DefaultMigrateStrategy()
		jobs = append(jobs, low)
	}
	running := tenants{}
	for i := range len(p.nodes) {
		node := p.nodes[fmt.Sprintf("00000000-0000-4000-8000-%012d", i)]
		left := node.NodeResources.Cpu.CpuShares
		for k := range n {
			job, cpu := jobs[0], left
			if n > 1 {
				job = jobs[(i*7+k*13+i*k)%len(jobs)]
			}
			if k < n-1 {
				cpu = node.NodeResources.Cpu.CpuShares * int64(2+(i*5+k*3)%8) / int64(7*n)
			}
			left -= cpu
			a := &structs.Allocation{
				ID: fmt.Sprintf("10000000-%04d-4000-8000-%012d", k, i), NodeID: node.ID, Namespace: "default", JobID: *job.ID, TaskGroup: "web", Job: job,
				AllocatedResources: &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{"web": {
					Cpu:    structs.AllocatedCpuResources{CpuShares: cpu},
					Memory: structs.AllocatedMemoryResources{MemoryMB: 100 + int64(i*k%9)*50},
				}}},
			}
			running[node.ID] = append(running[node.ID], a)
			c.SetAlloc(a)
		}
	}
	return running
}

// run schedules the job and returns its allocations as if they ran.
func run(t testing.TB, p *plain, c *scheduler.Capacity) []*structs.Allocation {
	d, err := scheduler.Schedule(input(p, c))
	if err != nil {
		t.Fatal(err)
	}
	var out []*structs.Allocation
	for _, g := range d.Plan.Groups {
		for i, row := range g.Rows {
			a := &structs.Allocation{
				ID: fmt.Sprintf("30000000-0000-4000-8000-%012d", len(out)), JobID: "web", Namespace: "default", Job: p.job,
				TaskGroup: g.TaskGroup, Name: structs.AllocName("web", g.TaskGroup, row.NameIndex), NodeID: row.NodeID,
				DesiredStatus: "run", ClientStatus: "running", AllocatedResources: g.Resources, CreateIndex: uint64(i),
			}
			c.SetAlloc(a)
			out = append(out, a)
		}
	}
	return out
}
