package story

import (
	"fmt"
	"slices"
	"time"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// placedWithin is how soon after room appears what waits for it must be placed,
// or at least be looked at again, while nothing is wrong with the servers.
const placedWithin = 10 * time.Second

// room watches that what waits for room doesn't wait any longer once there is
// some.
type room struct {
	// since is when room was first seen for an evaluation, without a break.
	since map[string]time.Time
	// index is the entry that was looked at last; fits what could be placed then.
	index uint64
	fits  map[string]string
}

func newRoom() *room { return &room{since: map[string]time.Time{}, fits: map[string]string{}} }

// pass lets time pass and looks all the while, unless a promise is broken.
func (p *Play) pass(d time.Duration) {
	const look = time.Second
	for end := p.cluster.Now().Add(d); p.cluster.Now().Before(end) && len(p.result.Violations) == 0; {
		p.cluster.Pass(min(look, end.Sub(p.cluster.Now())))
		p.look()
	}
}

// lookUntil lets time pass until cond holds, and looks all the while. A promise
// that is broken ends it, too.
func (p *Play) lookUntil(limit time.Duration, cond func() bool) bool {
	return p.cluster.Until(limit, func() bool {
		p.look()
		return len(p.result.Violations) > 0 || cond()
	})
}

// look judges what must come to pass within a bound.
func (p *Play) look() {
	r := p.room
	snap := p.cluster.Snapshot()
	if snap == nil || p.options.Origin != nil || !p.sound() { // what real jobs ask for is more than a story's
		clear(r.since)
		return
	}
	if snap.Index() != r.index {
		r.index, r.fits = snap.Index(), placeable(snap)
	}
	now := p.cluster.Now()
	for id := range r.since {
		if r.fits[id] == "" {
			delete(r.since, id)
		}
	}
	for id, where := range r.fits {
		since, seen := r.since[id]
		switch {
		case !seen:
			r.since[id] = now
		case now.Sub(since) > placedWithin:
			p.fail(fmt.Sprintf("it waits for room since %s, while %s", since.Sub(p.began), where))
			r.since[id] = now.Add(time.Hour) // told once
		}
	}
}

// sound reports whether nothing is wrong with the servers and what they hear.
func (p *Play) sound() bool {
	if !p.cluster.Net().Whole() {
		return false
	}
	for _, s := range p.cluster.Servers() {
		if m := s.Machine(); m == nil || m.Frozen() {
			return false
		}
	}
	return p.cluster.Leader() != nil
}

// placeable are the evaluations that wait for room although a node has it, and
// which. It looks at nodes and what runs there one by one, as a person would.
func placeable(s *state.Snapshot) map[string]string {
	out := map[string]string{}
	for e := range s.EvalsByStatus(structs.EvalStatusBlocked) {
		job := s.Job(e.Namespace, e.JobID)
		if job == nil || job.Stopped() {
			continue
		}
		for n := range s.Nodes("") {
			for _, g := range job.TaskGroups {
				if e.FailedTGAllocs[g.GetName()] != nil && takes(s, n, job, g) {
					out[e.ID] = fmt.Sprintf("%s has room for group %s of job %s", n.Name, g.GetName(), job.GetID())
				}
			}
		}
	}
	return out
}

// takes reports whether a node could take one more allocation of a group.
func takes(s *state.Snapshot, n *structs.Node, job *structs.Job, g *structs.TaskGroup) bool {
	if !n.Ready() || !suits(n, g) {
		return false
	}
	alone := structs.EveryNode(job.GetType()) || slices.ContainsFunc(g.Constraints, func(c *structs.Constraint) bool { return c.Operand == structs.OpDistinctHosts })
	sum := asks(g)
	for v := range s.AllocViewsByNode(n.ID) {
		switch {
		case alone && v.Shared().JobID == job.GetID() && v.Shared().Namespace == job.GetNamespace():
			return false
		case v.Row().Terminal():
			continue
		}
		a := v.Outline()
		if sharesPort(a, g) {
			return false
		}
		sum.Add(a.AllocatedResources.Comparable())
	}
	return sum.Exceeds(n.Comparable()) == ""
}

// suits reports whether a node is what a group asks for in its constraints on
// metadata, the only ones that stories have.
func suits(n *structs.Node, g *structs.TaskGroup) bool {
	for _, c := range g.Constraints {
		if key, found := metaKey(c.LTarget); found && n.Meta[key] != c.RTarget {
			return false
		}
	}
	return true
}

func asks(g *structs.TaskGroup) structs.Comparable {
	var sum structs.Comparable
	if g.EphemeralDisk != nil {
		sum.DiskMB = int64(structs.Value(g.EphemeralDisk.SizeMB))
	}
	for _, t := range g.Tasks {
		sum.CPU += int64(structs.Value(t.Resources.CPU))
		sum.MemoryMB += int64(structs.Value(t.Resources.MemoryMB))
	}
	return sum
}

func sharesPort(a *structs.Allocation, g *structs.TaskGroup) bool {
	for _, network := range g.Networks {
		for _, want := range network.ReservedPorts {
			for _, held := range a.AllocatedResources.Shared.Ports {
				if held.Value == want.Value {
					return true
				}
			}
		}
	}
	return false
}
