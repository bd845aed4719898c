package state

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// world is a store with a log: every command goes through the codec.
type world struct {
	t     testing.TB
	store *Store
	index uint64
	now   int64
}

func newWorld(t testing.TB) *world {
	return &world{t: t, store: New(Options{}), index: 10, now: int64(1700000000 * time.Second)}
}

// apply performs a command; an error is returned as it is.
func (w *world) apply(c command.Command) any {
	w.t.Helper()
	data, err := command.Encode(c)
	if err != nil {
		w.t.Fatalf("encode %T: %v", c, err)
	}
	decoded, err := command.Decode(data)
	if err != nil {
		w.t.Fatalf("decode %T: %v", c, err)
	}
	w.index++
	w.now += int64(time.Second)
	return w.store.Apply(w.index, decoded)
}

// must performs a command that may not fail.
func (w *world) must(c command.Command) any {
	w.t.Helper()
	result := w.apply(c)
	if err, failed := result.(error); failed {
		w.t.Fatalf("%T: %v", c, err)
	}
	return result
}

func (w *world) snap() *Snapshot { return w.store.Snapshot() }

func ptr[T any](v T) *T { return &v }

func testNode(id string) *structs.Node {
	return &structs.Node{
		ID: id, Name: "node-" + id[:4], Datacenter: "dc1", NodePool: "default", Status: structs.NodeStatusReady, SecretID: "secret",
		NodeResources: &structs.NodeResources{
			Cpu:    structs.NodeCpuResources{CpuShares: 4000},
			Memory: structs.NodeMemoryResources{MemoryMB: 8192},
			Disk:   structs.NodeDiskResources{DiskMB: 100000},
			Devices: []*structs.NodeDeviceResource{{
				Vendor: "v", Type: "gpu", Name: "n", Instances: []*structs.NodeDevice{{ID: "0", Healthy: true}},
			}},
		},
		ReservedResources: &structs.NodeReservedResources{
			Networks: structs.NodeReservedNetworkResources{ReservedHostPorts: "22,8000-8010"},
		},
	}
}

func testJob(id string, count int) *structs.Job {
	return &structs.Job{
		ID: ptr(id), Name: ptr(id), Namespace: ptr("default"), Type: ptr("service"), NodePool: ptr("default"),
		Priority: ptr(50),
		TaskGroups: []*structs.TaskGroup{{
			Name: ptr("web"), Count: ptr(count),
			Tasks: []*structs.Task{{Name: "main", Driver: "raw_exec", Config: map[string]any{"command": "/bin/true"}}},
		}},
	}
}

func testEval(j *structs.Job) *structs.Evaluation {
	return &structs.Evaluation{
		ID: ids.New(), Namespace: j.GetNamespace(), JobID: j.GetID(), Priority: 50, Type: "service",
		TriggeredBy: structs.TriggerJobRegister, Status: structs.EvalStatusPending,
	}
}

func ask(cpu, memory int64) *structs.AllocatedResources {
	return &structs.AllocatedResources{
		Tasks: map[string]*structs.AllocatedTaskResources{"main": {
			Cpu: structs.AllocatedCpuResources{CpuShares: cpu}, Memory: structs.AllocatedMemoryResources{MemoryMB: memory},
		}},
		Shared: structs.AllocatedSharedResources{DiskMB: 300},
	}
}

// register stores a job and returns its evaluation.
func (w *world) register(j *structs.Job) *structs.Evaluation {
	w.t.Helper()
	e := testEval(j)
	w.must(&command.RegisterJob{Job: j, Eval: e, Now: w.now})
	return e
}

func (w *world) addNode() string {
	w.t.Helper()
	id := ids.New()
	w.must(&command.RegisterNode{Node: testNode(id), Now: w.now})
	return id
}

// plan returns a plan of a job's current version with one group of rows.
func (w *world) plan(e *structs.Evaluation, rows ...structs.Placement) *structs.Plan {
	p := &structs.Plan{EvalID: e.ID, Namespace: e.Namespace, JobID: e.JobID, Priority: e.Priority}
	if j := w.snap().Job(e.Namespace, e.JobID); j != nil {
		p.JobVersion = j.GetVersion()
	}
	if len(rows) > 0 {
		p.Groups = []structs.PlacementGroup{{
			TaskGroup: "web", Resources: ask(500, 256), Seed: ids.NewSeed(), Rows: rows,
			Metrics: &structs.AllocationMetric{NodesEvaluated: 3, Scores: map[string]float64{"x": 0.5}},
		}}
	}
	return p
}

func complete(e *structs.Evaluation) *structs.Evaluation {
	done := *e
	done.Status = structs.EvalStatusComplete
	done.QueuedAllocations = map[string]int{"web": 0}
	return &done
}

// place applies a plan and completes its evaluation; it returns the IDs.
func (w *world) place(e *structs.Evaluation, rows ...structs.Placement) []string {
	w.t.Helper()
	p := w.plan(e, rows...)
	r := w.must(&command.ApplyPlans{Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{complete(e)}, Now: w.now}).(*PlanResult)
	if len(r.Refused) > 0 || len(r.Rejected) > 0 {
		w.t.Fatalf("plan was refused: %+v", r)
	}
	var out []string
	for i := range rows {
		out = append(out, ids.Derive(p.Groups[0].Seed, uint32(i)))
	}
	return out
}

func rowsOn(nodes ...string) []structs.Placement {
	var rows []structs.Placement
	for i, n := range nodes {
		rows = append(rows, structs.Placement{NodeID: n, NameIndex: uint32(i)})
	}
	return rows
}

func (w *world) report(id, status string) {
	w.t.Helper()
	w.must(&command.UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: id, ClientStatus: status}}, Now: w.now})
}

func (w *world) status(jobID string) string { return w.snap().Job("default", jobID).GetStatus() }

func (w *world) counts(jobID string) structs.TaskGroupSummary {
	return w.snap().JobSummary("default", jobID).Summary["web"]
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// refusedAs checks the text of a refusal, and that nothing changed.
func (w *world) refusedAs(c command.Command, text string) {
	w.t.Helper()
	before := w.snap()
	err, failed := w.apply(c).(error)
	if !failed || err.Error() != text {
		w.t.Errorf("%T gave %v, want the refusal %q", c, err, text)
	}
	after := *w.snap().t
	after.Index = before.Index()
	if (&Snapshot{&after}).StateHash() != before.StateHash() {
		w.t.Errorf("%T was refused (%v) and changed the state all the same", c, err)
	}
}

func asPanic(err error, target **PanicError) bool { return errors.As(err, target) }
