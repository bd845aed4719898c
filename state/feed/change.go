package feed

import (
	"slices"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

// Change is what one applied entry changed. An object may occur in several
// events, in the order in which it changed.
type Change struct {
	Index uint64
	// Time is when the command was proposed, in unix nanoseconds; 0 if it
	// doesn't say.
	Time   int64
	Events []Event
}

// Event is one object that changed. Allocations are made when asked for; the
// cheap facts about them (Key, NodeID…) are had without.
type Event struct {
	kind     Kind
	row      uint32 // of an allocation within its batch
	old, new any    // *structs.X, or *alloc.Batch
}

// Kind says what happened to the object of an event.
type Kind uint8

// The kinds of events.
const (
	JobRegistered Kind = iota
	JobDeregistered
	NodeRegistration
	NodeDeregistration
	NodeEligibility
	NodeDrain
	NodeEvent
	PoolUpserted
	PoolDeleted
	DeploymentUpdate
	DeploymentPromotion
	DeploymentAllocHealth
	DeploymentPlanned
	AllocPlanned
	AllocUpdated
	AllocDesired
	AllocRemoved
	EvalUpdated
	EvalRemoved
	DeploymentRemoved
	JobVersionRemoved
	ServiceRegistration
	ServiceDeregistration
)

// eventNames says how the event stream names a kind. Kinds without a type are
// not part of the stream: they are for those who follow the store.
var eventNames = [...]struct {
	table       Table
	topic, name string
}{
	JobRegistered:         {TableJobs, structs.TopicJob, structs.EventJobRegistered},
	JobDeregistered:       {TableJobs, structs.TopicJob, structs.EventJobDeregistered},
	NodeRegistration:      {TableNodes, structs.TopicNode, structs.EventNodeRegistration},
	NodeDeregistration:    {TableNodes, structs.TopicNode, structs.EventNodeDeregistration},
	NodeEligibility:       {TableNodes, structs.TopicNode, structs.EventNodeEligibility},
	NodeDrain:             {TableNodes, structs.TopicNode, structs.EventNodeDrain},
	NodeEvent:             {TableNodes, structs.TopicNode, structs.EventNodeEvent},
	PoolUpserted:          {TableNodePools, structs.TopicNodePool, structs.EventNodePoolUpserted},
	PoolDeleted:           {TableNodePools, structs.TopicNodePool, structs.EventNodePoolDeleted},
	DeploymentUpdate:      {TableDeployments, structs.TopicDeployment, structs.EventDeploymentUpdate},
	DeploymentPromotion:   {TableDeployments, structs.TopicDeployment, structs.EventDeploymentPromotion},
	DeploymentAllocHealth: {TableDeployments, structs.TopicDeployment, structs.EventDeploymentAllocHealth},
	DeploymentPlanned:     {TableDeployments, structs.TopicDeployment, structs.EventPlanResult},
	AllocPlanned:          {TableAllocs, structs.TopicAllocation, structs.EventPlanResult},
	AllocUpdated:          {TableAllocs, structs.TopicAllocation, structs.EventAllocationUpdated},
	AllocDesired:          {TableAllocs, structs.TopicAllocation, structs.EventAllocationUpdateDesiredStatus},
	AllocRemoved:          {TableAllocs, structs.TopicAllocation, ""},
	EvalUpdated:           {TableEvals, structs.TopicEvaluation, structs.EventEvaluationUpdated},
	EvalRemoved:           {TableEvals, structs.TopicEvaluation, ""},
	DeploymentRemoved:     {TableDeployments, structs.TopicDeployment, ""},
	JobVersionRemoved:     {TableJobVersions, structs.TopicJob, ""},
	ServiceRegistration:   {TableServices, structs.TopicService, structs.EventServiceRegistration},
	ServiceDeregistration: {TableServices, structs.TopicService, structs.EventServiceDeregistration},
}

// Of returns the event of an object that changed from old to changed; either
// may be nil.
func Of(kind Kind, old, changed any) Event { return Event{kind: kind, old: old, new: changed} }

// OfAlloc returns the event of an allocation: its row in the batch before and
// in the batch after, of which either may be nil.
func OfAlloc(kind Kind, row uint32, old, changed *alloc.Batch) Event {
	e := Event{kind: kind, row: row}
	if old != nil {
		e.old = old
	}
	if changed != nil {
		e.new = changed
	}
	return e
}

// Rename says that what happened is better named otherwise. Only who made the
// event may call it, before it is published.
func (e *Event) Rename(kind Kind) { e.kind = kind }

// Kind returns what happened.
func (e *Event) Kind() Kind { return e.kind }

// Table returns the kind's table.
func (k Kind) Table() Table { return eventNames[k].table }

// Table returns the table that holds the object.
func (e *Event) Table() Table { return eventNames[e.kind].table }

// Topic returns the topic of the event stream.
func (e *Event) Topic() string { return eventNames[e.kind].topic }

// Type returns the event's type, as the event stream names it; "" if the event
// is not part of the stream.
func (e *Event) Type() string { return eventNames[e.kind].name }

// Old returns the object before the change, nil if it is new: a *structs.Job,
// *structs.Node, *structs.NodePool, *structs.Evaluation, *structs.Deployment,
// *structs.Allocation or *structs.ServiceRegistration.
func (e *Event) Old() any { return e.object(e.old) }

// New returns the object after the change, nil if it was removed.
func (e *Event) New() any { return e.object(e.new) }

// Payload returns the object as the event stream shows it: after the change,
// or before it if it was removed.
func (e *Event) Payload() any {
	if e.new == nil {
		return e.Old()
	}
	return e.New()
}

// OldAlloc and NewAlloc return the allocation of an allocation event without
// making the object; see alloc.View.Valid.
func (e *Event) OldAlloc() alloc.View { return e.view(e.old) }

// NewAlloc returns the allocation after the change; see OldAlloc.
func (e *Event) NewAlloc() alloc.View { return e.view(e.new) }

func (e *Event) view(side any) alloc.View {
	if b, ok := side.(*alloc.Batch); ok {
		return b.View(e.row)
	}
	return alloc.View{}
}

func (e *Event) object(side any) any {
	if b, ok := side.(*alloc.Batch); ok {
		return b.View(e.row).Allocation()
	}
	return side
}

func (e *Event) latest() any {
	if e.new == nil {
		return e.old
	}
	return e.new
}

// facts are what listeners filter events by.
type facts struct {
	key, namespace, node string
	filter               []string
}

func (e *Event) facts() facts {
	switch o := e.latest().(type) {
	case *alloc.Batch:
		v := o.View(e.row)
		s, r := v.Shared(), v.Row()
		return facts{v.ID(), s.Namespace, r.Node.ID, []string{s.JobID, s.DeploymentID}}
	case *structs.Job:
		return facts{o.GetID(), o.GetNamespace(), "", nil}
	case *structs.Node:
		return facts{o.ID, "", o.ID, nil}
	case *structs.NodePool:
		return facts{o.Name, "", "", nil}
	case *structs.Evaluation:
		return facts{o.ID, o.Namespace, o.NodeID, []string{o.JobID, o.DeploymentID}}
	case *structs.Deployment:
		return facts{o.ID, o.Namespace, "", []string{o.JobID}}
	case *structs.ServiceRegistration:
		return facts{o.ID, o.Namespace, o.NodeID, []string{o.JobID, o.ServiceName}}
	}
	return facts{}
}

// Key returns the object's ID.
func (e *Event) Key() string { return e.facts().key }

// Namespace returns the object's namespace, "" if it has none.
func (e *Event) Namespace() string { return e.facts().namespace }

// NodeID returns the node that the object is about, "" if there is none.
func (e *Event) NodeID() string {
	if b, ok := e.latest().(*alloc.Batch); ok {
		return b.View(e.row).Row().Node.ID
	}
	return e.facts().node
}

// FilterKeys returns further IDs by which a listener may ask for the event.
func (e *Event) FilterKeys() []string {
	return slices.DeleteFunc(e.facts().filter, func(s string) bool { return s == "" })
}
