package structs

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/nomad/api"
)

// contract proves that two types speak the same JSON: what the published
// client writes we read without loss, what we write it reads without loss.
// ours names fields that only we have; they are cleared first.
func contract[Theirs, Ours any](t *testing.T, clear ...func(*Ours)) {
	t.Helper()
	t.Run(reflect.TypeFor[Ours]().Name(), func(t *testing.T) {
		theirs := populated[Theirs]()
		var read Ours
		recode(t, theirs, &read)
		var back Theirs
		recode(t, &read, &back)
		if d := cmp.Diff(theirs, &back); d != "" {
			t.Errorf("client → ours → client loses (-client +back):\n%s", d)
		}
		ours := populated[Ours]()
		for _, c := range clear {
			c(ours)
		}
		var seen Theirs
		recode(t, ours, &seen)
		var again Ours
		recode(t, &seen, &again)
		if d := cmp.Diff(ours, &again, cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
			t.Errorf("ours → client → ours loses (-ours +back):\n%s", d)
		}
	})
}

func recode(t *testing.T, from, to any) {
	t.Helper()
	data, err := json.Marshal(from)
	if err != nil {
		t.Fatalf("marshal %T: %v", from, err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatalf("unmarshal %T from %T: %v\n%s", to, from, err, data)
	}
}

// ownJobFields clears the fields of jobs that the published client does not
// know.
func ownJobFields(j *Job) {
	if j.Periodic != nil {
		j.Periodic.RunMissed = nil
	}
	for _, g := range j.TaskGroups {
		for _, s := range g.AllServices() {
			s.Namespace = ""
		}
	}
}

func TestContractOfJSON(t *testing.T) {
	contract[api.Job](t, ownJobFields)
	contract[api.JobListStub, JobListStub](t)
	contract[api.JobSummary, JobSummary](t)
	contract[api.JobSubmission, JobSubmission](t)
	contract[api.JobRegisterRequest](t, func(r *JobRegisterRequest) { ownJobFields(r.Job) })
	contract[api.Allocation](t, func(a *Allocation) {
		ownJobFields(a.Job)
		a.DesiredTransition.AfterReplacement = nil
		ownDelays(a.RescheduleTracker)
		ownCores(a.AllocatedResources)
	})
	contract[api.AllocationListStub](t, func(a *AllocationListStub) {
		ownDelays(a.RescheduleTracker)
		ownCores(a.AllocatedResources)
	})
	contract[api.Node](t, func(n *Node) {
		n.SecretID, n.ComputedClass, n.SilentSince = "", "", 0
		n.Losses, n.LostAt, n.QuarantineUntil = 0, 0, 0
	})
	contract[api.NodeListStub, NodeListStub](t)
	contract[api.Evaluation](t, func(e *Evaluation) {
		for _, stub := range e.PlanAnnotations.PreemptedAllocs {
			ownDelays(stub.RescheduleTracker)
			ownCores(stub.AllocatedResources)
		}
	})
	contract[api.Deployment, Deployment](t)
	contract[api.JobDiff](t, func(d *JobDiff) {
		for _, g := range d.TaskGroups {
			for _, task := range g.Tasks {
				task.change = 0
			}
		}
	})
	contract[api.ServiceRegistration](t, func(r *ServiceRegistration) { r.Health = "" })
	contract[api.ServiceRegistrationListStub](t, func(s *ServiceRegistrationListStub) {
		for _, one := range s.Services {
			one.Instances, one.Healthy = 0, 0
		}
	})
	contract[api.SchedulerConfiguration, SchedulerConfiguration](t)
	contract[api.Namespace, Namespace](t)
	contract[api.NodePool, NodePool](t)
	contract[api.AllocResourceUsage, AllocResourceUsage](t)
	contract[api.HostStats, HostStats](t)
	contract[api.AllocFileInfo, AllocFileInfo](t)
	contract[api.StreamFrame, StreamFrame](t)
	contract[api.AllocCheckStatus](t, func(s *AllocCheckStatus) { s.IgnoreWarnings = false })
	contract[api.JobScaleStatusResponse, JobScaleStatusResponse](t)
	contract[api.ScalingPolicyListStub, ScalingPolicyListStub](t)
	contract[api.ScalingRequest, ScalingRequest](t)
	contract[api.AgentMember, AgentMember](t)
	contract[api.ServerMembers, ServerMembers](t)
	contract[api.JobValidateResponse, JobValidateResponse](t)
	contract[api.JobsParseRequest, JobsParseRequest](t)
	contract[api.DesiredUpdates, DesiredUpdates](t)
	contract[api.DrainStrategy, DrainStrategy](t)
}

// ownCores clears the numbers of reserved cores, which servers show and the
// published client drops.
func ownCores(r *AllocatedResources) {
	for _, t := range r.Tasks {
		t.Cpu.ReservedCores = nil
	}
}

// ownDelays clears what servers show of reschedules and the client drops.
func ownDelays(r *RescheduleTracker) {
	for _, e := range r.Events {
		e.Delay = 0
	}
}

// The published client's own defaults are ours, but for what servers settle.
func TestCanonicalAgreesWithClient(t *testing.T) {
	for _, kind := range jobTypes() {
		t.Run(kind, func(t *testing.T) {
			source := `{"ID":"j","Type":"` + kind + `","TaskGroups":[{"Name":"g","Disconnect":{},
				"Tasks":[{"Name":"t","Driver":"d","LogConfig":{},"Vault":{},
				"Templates":[{"ChangeScript":{}}],"Artifacts":[{"GetterSource":"http://x/y.tgz"}]}]}]}`
			var theirs api.Job
			var ours Job
			for _, into := range []any{&theirs, &ours} {
				if err := json.Unmarshal([]byte(source), into); err != nil {
					t.Fatal(err)
				}
			}
			theirs.Canonicalize()
			theirs.TaskGroups[0].Tasks[0].Templates[0].ChangeScript.Args = nil // it makes an empty list
			ours.Canonicalize()
			ours.asClientLeavesIt()
			var seen api.Job
			recode(t, &ours, &seen)
			if d := cmp.Diff(&theirs, &seen); d != "" {
				t.Errorf("-client +ours:\n%s", d)
			}
		})
	}
}

// asClientLeavesIt undoes what servers give and the client leaves to them.
func (j *Job) asClientLeavesIt() {
	j.Datacenters, j.SubmitTime, j.DispatchIdempotencyToken = nil, nil, nil
	j.NodePool = new("") // of the namespace
	if j.updates() {
		j.Update = DefaultUpdateStrategy() // servers keep pace and stagger only
	} else {
		j.Update = nil
	}
	g := j.TaskGroups[0]
	g.Disconnect.LostAfter, g.PreventRescheduleOnLost = nil, nil
	task := g.Tasks[0]
	task.Identity = nil
	r := task.Resources
	r.DiskMB, r.IOPS, r.MemoryMaxMB, r.SecretsMB = nil, nil, nil, nil
}
