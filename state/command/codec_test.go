package command

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/wire"
	"github.com/steppe-run/steppe/structs"
)

var update = flag.Bool("update", false, "write golden entries of kinds that have none")

func ptr[T any](v T) *T { return &v }

func id(n uint32) string { return ids.Derive(ids.Seed{7, 9}, n) }

// samples has a command of every kind.
func samples() map[byte]Command {
	job := &structs.Job{
		ID: ptr("web"), Namespace: ptr("default"), Priority: ptr(50), Meta: map[string]string{"a": "b", "c": ""},
		TaskGroups: []*structs.TaskGroup{{Name: ptr("g"), Count: ptr(2), Tasks: []*structs.Task{{
			Name: "t", Driver: "raw_exec", KillTimeout: ptr(5 * time.Second),
			Config: map[string]any{"args": []any{"x", int64(5), 1.5, true}, "nested": map[string]any{"k": "v"}},
		}}}},
	}
	eval := &structs.Evaluation{ID: id(1), Namespace: "default", JobID: "web", Status: "pending", QueuedAllocations: map[string]int{"g": 2},
		WaitUntil: time.Unix(1700000000, 5).UTC()}
	node := &structs.Node{ID: id(2), Name: "n", SecretID: "s", Attributes: map[string]string{"os.name": "debian"},
		NodeResources: &structs.NodeResources{Cpu: structs.NodeCpuResources{CpuShares: 4000, ReservableCpuCores: []uint16{0, 1}}}}
	event := &structs.NodeEvent{Message: "m", Subsystem: "Drain", Timestamp: time.Unix(1700000001, 0).UTC()}
	update := structs.DeploymentStatusUpdate{DeploymentID: id(3), Status: "failed", StatusDescription: "d"}
	return map[byte]Command{
		kindRegisterJob: &RegisterJob{Job: job, Submission: &structs.JobSubmission{Source: "s", Format: "hcl2"}, EnforceIndex: true,
			JobModifyIndex: 7, PreserveCounts: true, Eval: eval, Scaling: map[string]*structs.ScalingEvent{"g": {Count: ptr(int64(2))}}, Now: 1},
		kindDeregisterJob:      &DeregisterJob{Namespace: "default", JobID: "web", Purge: true, NoShutdownDelay: true, Eval: eval, Now: 2},
		kindMarkJobStable:      &MarkJobStable{Namespace: "default", JobID: "web", JobVersion: 3, Stable: true, Now: 3},
		kindTagJobVersion:      &TagJobVersion{Namespace: "default", JobID: "web", JobVersion: 3, Name: "n", Tag: &structs.JobVersionTag{Name: "n", TaggedTime: 4}},
		kindUpsertEvals:        &UpsertEvals{Evals: []*structs.Evaluation{eval}, Now: 4},
		kindApplyPlans:         &ApplyPlans{Plans: []*structs.Plan{samplePlan(), samplePlan()}, Evals: []*structs.Evaluation{eval}, Now: 5},
		kindRegisterNode:       &RegisterNode{Node: node, CreatePool: true, Evals: []*structs.Evaluation{eval}, Now: 6},
		kindSetNodeStatus:      &SetNodeStatus{Nodes: []NodeStatus{{NodeID: id(2), Status: "down", Description: "d", Event: event}}, Now: 7},
		kindSetNodeEligibility: &SetNodeEligibility{NodeID: id(2), Eligibility: "ineligible", Event: event, Now: 8},
		kindSetNodeDrain: &SetNodeDrain{NodeID: id(2), Strategy: &structs.DrainStrategy{DrainSpec: structs.DrainSpec{Deadline: time.Hour}},
			MarkEligible: true, Complete: true, Meta: map[string]string{"why": "x"}, Event: event, Now: 9},
		kindDeleteNodes: &DeleteNodes{NodeIDs: []string{id(2)}, Now: 10},
		kindUpdateAllocs: &UpdateAllocs{Updates: []*structs.AllocUpdate{{ID: id(4), ClientStatus: "running",
			TaskStates:       map[string]*structs.TaskState{"t": {State: "running", StartedAt: time.Unix(1700000002, 3).UTC()}},
			DeploymentStatus: &structs.AllocDeploymentStatus{Healthy: ptr(true)}}}, Now: 11},
		kindTransitionAllocs:  &TransitionAllocs{Transitions: []AllocTransition{{AllocID: id(4), Transition: structs.DesiredTransition{Migrate: ptr(true)}}}, Now: 12},
		kindUpdateDeployment:  &UpdateDeployment{Update: update, Job: job, MarkStable: true, Eval: eval, Now: 13},
		kindPromoteDeployment: &PromoteDeployment{DeploymentID: id(3), Groups: []string{"g"}, StatusDescription: "d", Eval: eval, Now: 14},
		kindSetAllocHealth:    &SetAllocHealth{DeploymentID: id(3), Healthy: []string{id(4)}, Unhealthy: []string{id(5)}, Update: &update, Now: 15},
		kindUpsertServices:    &UpsertServices{Services: []*structs.ServiceRegistration{{ID: "s", ServiceName: "api", Tags: []string{"a"}, Port: 80}}},
		kindDeleteServices:    &DeleteServices{Namespace: "default", IDs: []string{"s"}},
		kindSweep: &Sweep{EvalIDs: []string{id(1)}, AllocIDs: []string{id(4)}, DeploymentIDs: []string{id(3)},
			Jobs: []JobKey{{Namespace: "default", JobID: "web"}}, NodeIDs: []string{id(2)}, Now: 16},
		kindSetSchedulerConfig: &SetSchedulerConfig{Config: &structs.SchedulerConfiguration{SchedulerAlgorithm: "spread"}, CAS: true, CASIndex: 3},
		kindUpsertNodePools:    &UpsertNodePools{Pools: []*structs.NodePool{{Name: "gpu", Meta: map[string]string{"a": "b"}}}},
		kindDeleteNodePools:    &DeleteNodePools{Names: []string{"gpu"}},
		kindUpsertNamespaces:   &UpsertNamespaces{Namespaces: []*structs.Namespace{{Name: "team"}}},
		kindDeleteNamespaces:   &DeleteNamespaces{Names: []string{"team"}},
		kindDispatchJob:        &DispatchJob{Job: job, ParentModifyIndex: 7, Eval: eval, Now: 17},
		kindLaunchJobs: &LaunchJobs{Launches: []Launch{
			{Namespace: "default", JobID: "cron", ParentModifyIndex: 7, Instant: 1700000060, After: 1700000000, Alone: true, Job: job, Eval: eval, Note: "n"},
			{Namespace: "default", JobID: "cron", Instant: 1700000061, Forced: true},
		}, Now: 18},
	}
}

func samplePlan() *structs.Plan {
	resources := &structs.AllocatedResources{Tasks: map[string]*structs.AllocatedTaskResources{"t": {Cpu: structs.AllocatedCpuResources{CpuShares: 500}}}}
	metrics := &structs.AllocationMetric{NodesEvaluated: 4, Scores: map[string]float64{"binpack": 0.25}}
	return &structs.Plan{
		EvalID: id(1), Namespace: "default", JobID: "web", Priority: 50, JobVersion: 3,
		Stops:   []structs.AllocStop{{AllocID: id(4), DesiredStatus: "stop", DesiredDescription: "d", ClientStatus: "lost", FollowupEvalID: id(6), PreemptedBy: id(7)}},
		Marks:   []structs.AllocMark{{AllocID: id(5), ClientStatus: "unknown", DesiredDescription: "d", FollowupEvalID: id(6)}},
		InPlace: []structs.AllocInPlace{{AllocID: id(8), DeploymentID: id(3), Resources: resources}, {AllocID: id(9)}},
		Groups: []structs.PlacementGroup{{
			TaskGroup: "g", DeploymentID: id(3), Resources: resources, Metrics: metrics, JobVersion: ptr(uint64(2)), Seed: [16]byte{1, 15: 9}, FirstRow: 1 << 31,
			Rows: []structs.Placement{
				{NodeID: id(2), NameIndex: 5},
				{NodeID: id(2), NameIndex: 6, Canary: true, Ports: []structs.PortMapping{{Label: "http", Value: 20000, To: -1, HostIP: "::1"}}},
				{NodeID: "not a uuid", PreviousAllocation: id(4), Reschedule: &structs.RescheduleTracker{LastReschedule: "ok"}, Metrics: metrics,
					Devices: map[string][]*structs.AllocatedDeviceResource{"t": {{Vendor: "v", DeviceIDs: []string{"0"}}}}},
				{NodeID: id(2), NameIndex: 1<<32 - 1},
			},
		}, {TaskGroup: "h"}},
		Deployment:        &structs.Deployment{ID: id(3), TaskGroups: map[string]*structs.DeploymentState{"g": {DesiredTotal: 2, ProgressDeadline: time.Minute}}},
		DeploymentUpdates: []structs.DeploymentStatusUpdate{{DeploymentID: id(10), Status: "cancelled", StatusDescription: "d"}},
	}
}

func TestEveryKindComesBackAsItWas(t *testing.T) {
	all := samples()
	for kind, k := range kinds {
		if (k.blank == nil) != (all[byte(kind)] == nil) {
			t.Fatalf("kind %d has no sample", kind)
		}
	}
	for kind, c := range all {
		data, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		if data[0] != version1 || data[1] != kind {
			t.Errorf("%T begins with %d, %d", c, data[0], data[1])
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatalf("%T: %v", c, err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%T changed on the way (-in +out):\n%s", c, diff)
		}
		again, err := Encode(got)
		if err != nil || !bytes.Equal(data, again) {
			t.Errorf("%T: equal commands have different bytes (%v)", c, err)
		}
	}
}

// TestOldExplanationsAreRead: parts of scores were a map once. What was written then
// is read without them.
func TestOldExplanationsAreRead(t *testing.T) {
	type meta struct {
		NodeID    string
		Scores    map[string]float64
		NormScore float64
	}
	data, err := wire.Marshal(&struct {
		NodesEvaluated int
		ScoreMetaData  []*meta
	}{3, []*meta{{NodeID: id(1), Scores: map[string]float64{"binpack": 0.5}, NormScore: 0.25}}})
	if err != nil {
		t.Fatal(err)
	}
	var got structs.AllocationMetric
	if err := wire.Unmarshal(data, &got); err != nil || got.NodesEvaluated != 3 || len(got.ScoreMetaData) != 1 || got.ScoreMetaData[0].NormScore != 0.25 {
		t.Errorf("%v: %+v", err, got)
	}
}

// TestExplanationsComeBackAsTheyWere has one with everything in it.
func TestExplanationsComeBackAsTheyWere(t *testing.T) {
	ptr := func(n int) *int { return &n }
	whole := &structs.AllocationMetric{
		NodesEvaluated: 7, NodesFiltered: 1, NodesInPool: 9, NodePool: "default", NodesAvailable: map[string]int{"dc1": 7, "dc2": 0},
		ClassFiltered: map[string]int{"c": 1}, ConstraintFiltered: map[string]int{"kernel = linux": 1}, NodesExhausted: 3,
		ClassExhausted: map[string]int{"c": 3}, DimensionExhausted: map[string]int{"cpu": 2, "memory": 1}, QuotaExhausted: []string{"q"},
		ResourcesExhausted: map[string]*structs.Resources{"t": {CPU: ptr(5)}}, Scores: map[string]float64{"n.binpack": 0.1},
		AllocationTime: 5 * time.Microsecond, CoalescedFailures: 4,
		ScoreMetaData: []*structs.NodeScoreMeta{
			{NodeID: id(2), NormScore: 0.3, Scores: structs.ScoreParts{{Name: "binpack", Value: 1.0 / 3}, {Name: "job-anti-affinity", Value: -1}}},
			{NodeID: id(3), NormScore: math.Inf(-1)},
		},
	}
	none := &structs.AllocationMetric{NodesAvailable: map[string]int{}}
	plan := &structs.Plan{Groups: []structs.PlacementGroup{
		{TaskGroup: "a", Metrics: whole, Rows: []structs.Placement{{NodeID: id(2), Metrics: none}, {NodeID: id(3), Metrics: whole}}},
		{TaskGroup: "b", Metrics: none},
	}}
	data, err := Encode(&ApplyPlans{Plans: []*structs.Plan{plan}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	plans, _ := got.(*ApplyPlans)
	if diff := cmp.Diff(plan, plans.Plans[0]); diff != "" {
		t.Error(diff)
	}
	for cut := 2; cut < len(data); cut++ {
		if _, err := Decode(data[:cut]); !errors.Is(err, ErrBadEntry) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestSharedPartsAreWrittenOnce(t *testing.T) {
	p := samplePlan()
	once, err := Encode(&ApplyPlans{Plans: []*structs.Plan{p}})
	if err != nil {
		t.Fatal(err)
	}
	twice, err := Encode(&ApplyPlans{Plans: []*structs.Plan{p, p}})
	if err != nil {
		t.Fatal(err)
	}
	if added := len(twice) - len(once); added > len(once)*2/3 {
		t.Errorf("a plan of %d bytes takes %d bytes more when it comes again", len(once), added)
	}
	c, err := Decode(twice)
	if err != nil {
		t.Fatal(err)
	}
	plans := c.(*ApplyPlans).Plans
	if plans[0].Groups[0].Resources != plans[1].Groups[0].Resources || plans[0].Groups[0].Metrics != plans[1].Groups[0].Rows[2].Metrics {
		t.Error("what was one object became several")
	}
}

// Entries that version 1 wrote must be read for ever. An entry is written only
// once, with -update, when a kind is new.
func TestGoldenEntries(t *testing.T) {
	for kind, c := range samples() {
		name := strings.ToLower(reflect.TypeOf(c).Elem().Name())
		path := filepath.Join("testdata", "v1", name+".hex")
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *update {
			data, err := Encode(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(hexLines(data)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("kind %d has no golden entry: run go test ./state/command -update once (%v)", kind, err)
		}
		data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%s means something else now (-was +is):\n%s", path, diff)
		}
	}
}

func hexLines(data []byte) string {
	var out strings.Builder
	for len(data) > 0 {
		n := min(len(data), 40)
		fmt.Fprintf(&out, "%x\n", data[:n])
		data = data[n:]
	}
	return out.String()
}

func TestWhatIsNotAnEntry(t *testing.T) {
	good, err := Encode(samples()[kindApplyPlans])
	if err != nil {
		t.Fatal(err)
	}
	var unknown *UnknownEntryError
	for _, head := range [][]byte{{2, 1}, {version1, 0}, {version1, 200}, {0, 0}} {
		if _, err := Decode(head); !errors.As(err, &unknown) || unknown.Version != head[0] || unknown.Kind != head[1] {
			t.Errorf("%v: %v", head, err)
		}
	}
	for cut := 2; cut < len(good); cut++ {
		if _, err := Decode(good[:cut]); !errors.Is(err, ErrBadEntry) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for _, data := range [][]byte{nil, {version1}, append(bytes.Clone(good), 0)} {
		if _, err := Decode(data); !errors.Is(err, ErrBadEntry) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
	if _, err := Encode(nil); err == nil {
		t.Error("nothing was encoded")
	}
	for _, c := range []*ApplyPlans{{Plans: []*structs.Plan{nil}}, {Evals: []*structs.Evaluation{nil}}} {
		if _, err := Encode(c); err == nil {
			t.Error("a missing part was encoded")
		}
	}
}

func TestColumnsOfRandomPlans(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		node := rapid.Custom(func(rt *rapid.T) string { return id(uint32(rapid.IntRange(0, 5).Draw(rt, "node"))) })
		text := rapid.SampledFrom([]string{"", "a", "B", id(3), strings.ToUpper(id(3)), id(4), strings.Repeat("x", 300)})
		var rows []structs.Placement
		for range rapid.IntRange(0, 20).Draw(rt, "rows") {
			r := structs.Placement{
				NodeID: node.Draw(rt, "on"), NameIndex: rapid.Uint32().Draw(rt, "index"), Canary: rapid.Bool().Draw(rt, "canary"),
				PreviousAllocation: text.Draw(rt, "previous"),
			}
			for range rapid.IntRange(0, 2).Draw(rt, "ports") {
				r.Ports = append(r.Ports, structs.PortMapping{Label: text.Draw(rt, "label"), Value: rapid.Int().Draw(rt, "port"), HostIP: text.Draw(rt, "ip")})
			}
			rows = append(rows, r)
		}
		c := &ApplyPlans{Now: rapid.Int64().Draw(rt, "now"), Plans: []*structs.Plan{{
			EvalID: text.Draw(rt, "eval"), Priority: rapid.Int().Draw(rt, "priority"),
			Groups: []structs.PlacementGroup{{TaskGroup: text.Draw(rt, "group"), FirstRow: rapid.Uint32().Draw(rt, "first"), Rows: rows}},
		}}}
		data, err := Encode(c)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := Decode(data)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(Command(c), got); diff != "" {
			rt.Fatalf("changed on the way (-in +out):\n%s", diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		data, err := Encode(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		var unknown *UnknownEntryError
		if err != nil {
			if !errors.Is(err, ErrBadEntry) && !errors.As(err, &unknown) {
				t.Errorf("another error: %v", err)
			}
			return
		}
		if _, err := Encode(c); err != nil {
			t.Errorf("what was decoded can't be encoded: %v", err)
		}
	})
}

func TestEveryKindDeclaresItsLevel(t *testing.T) {
	highest := 0
	for kind, c := range samples() {
		level := LevelOf(c)
		if level < 1 || level > Level {
			t.Errorf("kind %d has level %d", kind, level)
		}
		highest = max(highest, level)
	}
	if highest != Level {
		t.Errorf("the highest level is %d, Level says %d", highest, Level)
	}
}
