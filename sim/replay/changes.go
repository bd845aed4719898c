package replay

import (
	"slices"
	"strings"
	"time"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Changes are what became of a region between two times.
type Changes struct {
	From, To time.Time
	// Jobs and Nodes that something became of, by name.
	Jobs  []*Job
	Nodes []*Node
}

// Job is what became of a job's allocations.
type Job struct {
	Namespace, ID string
	// Was and Is say how the job stands, "" when it isn't there.
	Was, Is string
	// RanBefore and Run count the allocations that run.
	RanBefore, Run int
	// Placed allocations are new. Moved are those of them that replace one of
	// another node.
	Placed, Moved int
	// Stopped, Lost, Failed, Completed and Unknown are allocations that were
	// ended by the servers, lost with their node, failed, done, or out of sight.
	Stopped, Lost, Failed, Completed, Unknown int
	// Waiting are instances that wait for a place: no node has room for them.
	Waiting int
	// Deployment says how the latest one stands if that has changed.
	Deployment string
}

// Node is what became of a node.
type Node struct{ Name, Was, Is string }

// Compare tells what is different.
func Compare(before, after *state.Snapshot, from, to time.Time) *Changes {
	c := &Changes{From: from, To: to}
	jobs := map[structs.NamespacedID]*Job{}
	of := func(namespace, id string) *Job {
		key := structs.NamespacedID{Namespace: namespace, ID: id}
		if jobs[key] == nil {
			jobs[key] = &Job{Namespace: namespace, ID: id, Was: standing(before.Job(namespace, id)), Is: standing(after.Job(namespace, id))}
		}
		return jobs[key]
	}
	for _, s := range []*state.Snapshot{before, after} {
		for j := range s.Jobs(structs.AllNamespaces, "") {
			of(j.GetNamespace(), j.GetID())
		}
	}
	for a := range before.Allocs(structs.AllNamespaces, "") {
		if runs(a) {
			of(a.Namespace, a.JobID).RanBefore++
		}
	}
	for a := range after.Allocs(structs.AllNamespaces, "") {
		of(a.Namespace, a.JobID).count(before, a)
	}
	for key, j := range jobs {
		j.Waiting = queued(after, key)
		j.Deployment = deployed(before.LatestDeployment(key.Namespace, key.ID), after.LatestDeployment(key.Namespace, key.ID))
		if j.changed(queued(before, key)) {
			c.Jobs = append(c.Jobs, j)
		}
	}
	slices.SortFunc(c.Jobs, func(a, b *Job) int { return strings.Compare(a.Namespace+"/"+a.ID, b.Namespace+"/"+b.ID) })
	c.Nodes = nodes(before, after)
	return c
}

// None reports whether nothing has changed.
func (c *Changes) None() bool { return len(c.Jobs)+len(c.Nodes) == 0 }

func runs(a *structs.Allocation) bool {
	return a.DesiredStatus == structs.AllocDesiredRun && a.ClientStatus == structs.AllocClientRunning
}

// count adds what became of one allocation.
func (j *Job) count(before *state.Snapshot, a *structs.Allocation) {
	if runs(a) {
		j.Run++
	}
	was := before.Alloc(a.ID)
	if was == nil {
		j.Placed++
		if p := before.Alloc(a.PreviousAllocation); p != nil && p.NodeID != a.NodeID {
			j.Moved++
		}
		was = &structs.Allocation{}
	}
	if a.DesiredStatus != structs.AllocDesiredRun && was.DesiredStatus != a.DesiredStatus && a.ClientStatus != structs.AllocClientLost {
		j.Stopped++
		return
	}
	if a.ClientStatus == was.ClientStatus {
		return
	}
	switch a.ClientStatus {
	case structs.AllocClientLost:
		j.Lost++
	case structs.AllocClientFailed:
		j.Failed++
	case structs.AllocClientComplete:
		j.Completed++
	case structs.AllocClientUnknown:
		j.Unknown++
	}
}

// queued counts the instances of a job that wait for a place.
func queued(s *state.Snapshot, key structs.NamespacedID) int {
	n := 0
	if summary := s.JobSummary(key.Namespace, key.ID); summary != nil {
		for _, g := range summary.Summary {
			n += g.Queued
		}
	}
	return n
}

// changed reports whether anything of it is new; so many instances waited before.
func (j *Job) changed(waited int) bool {
	return *j != Job{
		Namespace: j.Namespace, ID: j.ID, Was: j.Was, Is: j.Was, RanBefore: j.RanBefore, Run: j.RanBefore, Waiting: waited,
	}
}

// standing is how a job stands, in a word.
func standing(j *structs.Job) string {
	switch {
	case j == nil:
		return ""
	case j.Stopped():
		return "stopped"
	}
	return j.GetStatus()
}

// deployed is how a job's latest deployment stands, if that is new.
func deployed(was, is *structs.Deployment) string {
	switch {
	case is == nil, was != nil && was.ID == is.ID && was.Status == is.Status:
		return ""
	}
	return is.Status
}

// nodes are those that stand otherwise than before.
func nodes(before, after *state.Snapshot) []*Node {
	var out []*Node
	for n := range after.Nodes("") {
		if was, is := nodeStanding(before.Node(n.ID)), nodeStanding(n); was != is {
			out = append(out, &Node{Name: n.Name, Was: was, Is: is})
		}
	}
	for n := range before.Nodes("") {
		if after.Node(n.ID) == nil {
			out = append(out, &Node{Name: n.Name, Was: nodeStanding(n)})
		}
	}
	slices.SortStableFunc(out, func(a, b *Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func nodeStanding(n *structs.Node) string {
	switch {
	case n == nil:
		return ""
	case n.SilentSince != 0:
		return "silent"
	case n.Status != structs.NodeStatusReady:
		return n.Status
	case n.DrainStrategy != nil:
		return "draining"
	case n.SchedulingEligibility != structs.NodeEligible:
		return n.SchedulingEligibility
	}
	return n.Status
}
