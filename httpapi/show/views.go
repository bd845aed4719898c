// Package show makes of what is stored what callers see: stubs for lists, whole
// objects without their secrets, and the events of tasks put into words.
//
// It must not know requests. Begin reading at JobStub.
package show

import (
	"maps"
	"net"
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// JobStub is what lists show of a job.
func JobStub(j *structs.Job, summary *structs.JobSummary, meta bool) *structs.JobListStub {
	s := &structs.JobListStub{
		ID: j.GetID(), ParentID: j.GetParentID(), Name: j.GetName(), Namespace: j.GetNamespace(),
		Datacenters: j.Datacenters, Type: j.GetType(), Priority: j.GetPriority(),
		Periodic: j.IsPeriodic(), ParameterizedJob: j.IsParameterized(),
		Stop: structs.Value(j.Stop), Status: j.GetStatus(), StatusDescription: structs.Value(j.StatusDescription),
		JobSummary: summary, CreateIndex: j.GetCreateIndex(), ModifyIndex: j.GetModifyIndex(),
		JobModifyIndex: j.GetJobModifyIndex(), SubmitTime: structs.Value(j.SubmitTime),
	}
	if meta {
		s.Meta = j.Meta
	}
	return s
}

// AllocStub is what lists show of an allocation.
func AllocStub(a *structs.Allocation, resources, states bool) *structs.AllocationListStub {
	s := a.Stub()
	if resources {
		s.AllocatedResources = a.AllocatedResources
	}
	if states {
		s.TaskStates = explainStates(a.TaskStates)
	}
	return s
}

// FullStub is the stub with task states, as most lists show it.
func FullStub(a *structs.Allocation) *structs.AllocationListStub { return AllocStub(a, false, true) }

// WholeAlloc is an allocation with its events put into words.
func WholeAlloc(a *structs.Allocation) *structs.Allocation {
	shown := *a
	shown.TaskStates = explainStates(a.TaskStates)
	return &shown
}

// explainStates puts events into words where the node hasn't.
func explainStates(states map[string]*structs.TaskState) map[string]*structs.TaskState {
	mute := func(e *structs.TaskEvent) bool { return e.DisplayMessage == "" }
	silent := false
	for _, s := range states {
		silent = silent || s != nil && slices.ContainsFunc(s.Events, mute)
	}
	if !silent {
		return states
	}
	shown := maps.Clone(states)
	for name, s := range states {
		if s == nil || !slices.ContainsFunc(s.Events, mute) {
			continue
		}
		copied := *s
		copied.Events = slices.Clone(s.Events)
		for i, e := range copied.Events {
			if mute(e) {
				worded := *e
				worded.DisplayMessage = eventMessage(e)
				copied.Events[i] = &worded
			}
		}
		shown[name] = &copied
	}
	return shown
}

// NodeStub is what lists show of a node.
func NodeStub(n *structs.Node, resources, os bool) *structs.NodeListStub {
	s := &structs.NodeListStub{
		ID: n.ID, Address: hostOf(n.HTTPAddr), Datacenter: n.Datacenter, Name: n.Name, NodeClass: n.NodeClass,
		NodePool: n.NodePool, Version: n.Attributes["nomad.version"], Drain: n.DrainStrategy != nil,
		SchedulingEligibility: n.SchedulingEligibility, Status: n.Status, StatusDescription: n.StatusDescription,
		Drivers: n.Drivers, LastDrain: n.LastDrain, CreateIndex: n.CreateIndex, ModifyIndex: n.ModifyIndex,
	}
	if resources {
		s.NodeResources, s.ReservedResources = n.NodeResources, n.ReservedResources
	}
	if os {
		s.Attributes = map[string]string{"os.name": n.Attributes["os.name"]}
	}
	return s
}

// WholeNode is a node without its secret.
func WholeNode(n *structs.Node) *structs.Node {
	shown := *n
	shown.SecretID = ""
	shown.Drain = n.DrainStrategy != nil
	return &shown
}

func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// EvalStub is what an evaluation's relatives show of it.
func EvalStub(e *structs.Evaluation) *structs.EvaluationStub {
	return &structs.EvaluationStub{
		ID: e.ID, Priority: e.Priority, Type: e.Type, TriggeredBy: e.TriggeredBy, Namespace: e.Namespace,
		JobID: e.JobID, NodeID: e.NodeID, DeploymentID: e.DeploymentID, Status: e.Status,
		StatusDescription: e.StatusDescription, WaitUntil: e.WaitUntil, NextEval: e.NextEval,
		PreviousEval: e.PreviousEval, BlockedEval: e.BlockedEval, CreateIndex: e.CreateIndex,
		ModifyIndex: e.ModifyIndex, CreateTime: e.CreateTime, ModifyTime: e.ModifyTime,
	}
}
