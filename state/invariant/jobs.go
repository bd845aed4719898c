package invariant

import (
	"fmt"
	"time"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/structs"
)

func count(s *Step) []string {
	var out []string
	for key, groups := range placedGroups(s) {
		job := s.After.Job(key.Namespace, key.ID)
		if job == nil || structs.EveryNode(job.GetType()) {
			continue
		}
		for name := range groups {
			most := 0
			if g := job.LookupTaskGroup(name); g != nil && !job.Stopped() {
				most = g.GetCount()
			}
			if n := s.liveOf(s.After, key, name); n > most && n > s.liveOf(s.Before, key, name) {
				out = append(out, fmt.Sprintf("group %s of job %s has %d allocations, more than its count of %d", name, key.ID, n, most))
			}
		}
	}
	return out
}

func placedGroups(s *Step) map[structs.NamespacedID]map[string]bool {
	out := map[structs.NamespacedID]map[string]bool{}
	for _, a := range s.placed() {
		key := a.JobNamespacedID()
		if out[key] == nil {
			out[key] = map[string]bool{}
		}
		out[key][a.TaskGroup] = true
	}
	return out
}

// liveOf counts the allocations of a group, canaries aside.
func (s *Step) liveOf(snap *state.Snapshot, key structs.NamespacedID, group string) int {
	job := snap.Job(key.Namespace, key.ID)
	n := 0
	for _, a := range s.live(snap, key) {
		if a.TaskGroup == group && current(job, a) && !canary(snap, a) && !leaves(a) && !s.doubled(snap, a) {
			n++
		}
	}
	return n
}

// doubled reports whether an allocation is back that was replaced before the entry,
// perhaps several times: until it is decided which one goes on they count as one.
func (s *Step) doubled(snap *state.Snapshot, a *structs.Allocation) bool {
	if a.NextAllocation == "" || s.Before.Alloc(a.NextAllocation) == nil {
		return false
	}
	for id := a.NextAllocation; id != ""; {
		next := snap.Alloc(id)
		if next == nil {
			return false
		}
		if !next.TerminalStatus() {
			return true
		}
		id = next.NextAllocation
	}
	return false
}

func names(s *Step) []string {
	var out []string
	for key := range placedGroups(s) {
		job := s.After.Job(key.Namespace, key.ID)
		if job == nil || structs.EveryNode(job.GetType()) {
			continue
		}
		held := map[string]*structs.Allocation{}
		for _, a := range s.live(s.After, key) {
			if !current(job, a) || canary(s.After, a) || leaves(a) || s.doubled(s.After, a) {
				continue
			}
			if other := held[a.Name]; other != nil && isPlaced(s, a, other) {
				out = append(out, fmt.Sprintf("%s is both %s and %s", a.Name, other.ID, a.ID))
			}
			held[a.Name] = a
		}
	}
	return out
}

func systemOnce(s *Step) []string {
	var out []string
	for key := range placedGroups(s) {
		job := s.After.Job(key.Namespace, key.ID)
		if job == nil || !structs.EveryNode(job.GetType()) {
			continue
		}
		on := map[[2]string]*structs.Allocation{}
		for _, a := range s.live(s.After, key) {
			at := [2]string{a.TaskGroup, a.NodeID}
			if other := on[at]; other != nil && isPlaced(s, a, other) {
				out = append(out, fmt.Sprintf("group %s of job %s runs twice on node %s", a.TaskGroup, a.JobID, a.NodeName))
			}
			on[at] = a
		}
	}
	return out
}

func jobVersion(s *Step) []string {
	var out []string
	for _, a := range s.placed() {
		switch {
		case a.Job == nil:
			out = append(out, fmt.Sprintf("%s is placed without its job", a.ID))
		case s.After.Job(a.Namespace, a.JobID) == nil:
			out = append(out, fmt.Sprintf("%s is placed for job %s, which doesn't exist", a.ID, a.JobID))
		}
	}
	for _, p := range s.allocs {
		if p.fresh != nil && !p.fresh.TerminalStatus() && p.fresh.Job == nil {
			out = append(out, fmt.Sprintf("%s has lost its job", p.fresh.ID))
		}
	}
	return out
}

func reschedule(s *Step) []string {
	var out []string
	for _, a := range s.placed() {
		policy := a.ReschedulePolicy()
		if policy == nil || structs.Value(policy.Unlimited) || a.RescheduleTracker == nil || a.PreviousAllocation == "" {
			continue
		}
		if prev := s.allocAfter(a.PreviousAllocation); prev == nil || structs.Value(prev.DesiredTransition.ForceReschedule) {
			continue
		}
		now := time.Unix(0, a.CreateTime)
		since := now.Add(-structs.Value(policy.Interval))
		n := 0
		for _, e := range a.RescheduleTracker.Events { // some by a clock that was ahead of this one
			if at := time.Unix(0, e.RescheduleTime); at.After(since) && !at.After(now) {
				n++
			}
		}
		if most := structs.Value(policy.Attempts); n > most {
			out = append(out, fmt.Sprintf("%s of job %s is rescheduled for the %d. time within %s, its limit is %d",
				a.Name, a.JobID, n, structs.Value(policy.Interval), most))
		}
	}
	return out
}

func batchOnce(s *Step) []string {
	var out []string
	for key, groups := range placedGroups(s) {
		job := s.After.Job(key.Namespace, key.ID)
		if job == nil || !structs.Ends(job.GetType()) {
			continue
		}
		done := map[string]string{}
		for a := range alloc.Outlines(s.Before.AllocViewsByJob(key.Namespace, key.ID)) {
			if groups[a.TaskGroup] && a.Job.SameVersion(job) && a.ClientStatus == structs.AllocClientComplete &&
				a.DesiredStatus == structs.AllocDesiredRun {
				done[work(a)] = a.ID
			}
		}
		for _, a := range s.placed() {
			if before := done[work(a)]; a.JobNamespacedID() == key && before != "" && a.Job.SameVersion(job) {
				out = append(out, fmt.Sprintf("%s has completed as %s and is placed again as %s", a.Name, before, a.ID))
			}
		}
	}
	return out
}

// work is what an allocation does once: its part of a batch job, or its node's of a
// sysbatch job.
func work(a *structs.Allocation) string {
	if structs.EveryNode(a.Job.GetType()) {
		return a.TaskGroup + " on " + a.NodeID
	}
	return a.Name
}
