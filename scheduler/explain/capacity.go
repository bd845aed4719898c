package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/structs"
)

// MaxCounted is how many allocations are placed one by one to count them, all
// groups of a job together. Where amounts alone decide, they are not placed but
// divided, and counting has no end.
const MaxCounted = 100_000

// maxPreempting is where counting ends of those for which others have to go.
const maxPreempting = 1000

// minCounted is how many of each group are counted, however many groups there
// are.
const minCounted = 1_000

// slices of rows in which is counted: the first are small, since most jobs are.
const (
	firstSlice = 64
	lastSlice  = 10_000
)

// Capacity counts how many more of a job's allocations fit, group by group.
// What a job of this id has placed already stays.
func Capacity(in Input, job *structs.Job) *structs.CapacityReport {
	r := &structs.CapacityReport{JobID: job.GetID(), Namespace: job.GetNamespace(), Fits: in.fits(job)}
	for _, g := range job.TaskGroups {
		r.Groups = append(r.Groups, in.room(job, g, max(minCounted, MaxCounted/len(job.TaskGroups))))
	}
	r.Summary = capacitySummary(r)
	return r
}

// fits tells whether all that a job still lacks fits together.
func (in *Input) fits(job *structs.Job) bool {
	p := in.planner(job)
	for i, g := range job.TaskGroups {
		missing := g.GetCount() - in.placed(job, g)
		if missing <= 0 {
			continue
		}
		if i == len(job.TaskGroups)-1 {
			room := 0
			if p.Study(job, g).Fill(func(_ *structs.Node, rows int) { room += rows }) {
				return room >= missing
			}
		}
		for ; missing > 0; missing -= lastSlice {
			if out := p.Group(place.Ask{Job: job, Group: g, Rows: make([]place.Row, min(missing, lastSlice))}); out.Failed != nil {
				return false
			}
		}
	}
	return true
}

func (in *Input) placed(job *structs.Job, g *structs.TaskGroup) int {
	n := 0
	for a := range in.View.JobAllocs(job.GetNamespace(), job.GetID(), nil) {
		if a.TaskGroup == g.GetName() && !a.TerminalStatus() {
			n++
		}
	}
	return n
}

// room counts how many more of one group fit; at most limit of them, if they
// have to be placed for that.
func (in *Input) room(job *structs.Job, g *structs.TaskGroup, limit int) *structs.GroupCapacity {
	c := &structs.GroupCapacity{
		Group: g.GetName(), Wanted: g.GetCount(), Placed: in.placed(job, g),
		ByPool: map[string]int{}, ByDatacenter: map[string]int{}, ByClass: map[string]int{},
	}
	p := in.planner(job)
	used := map[string]bool{}
	take := func(n *structs.Node, rows int) {
		used[n.ID] = true
		tally(c, n, rows)
	}
	if !p.Study(job, g).Fill(take) {
		in.oneByOne(p, place.Ask{Job: job, Group: g}, limit, func(n *structs.Node) { take(n, 1) })
	}
	c.NodesUsed = len(used)
	how := scheduler.Preemption(in.Config, job, in.View)
	p.Preempt(how)
	c.Next = in.look(job, p.Study(job, g)).NodeSurvey
	c.AtLeast = c.Next.Fitting > 0
	if how != nil && !c.AtLeast {
		c.Preempting = preempting(p, job, g)
	}
	c.Binds = binding(c.Next)
	c.Summary = roomSummary(c)
	return c
}

// preempting counts how many more fit once others go, where nothing fits without.
func preempting(p *place.Planner, job *structs.Job, g *structs.TaskGroup) *structs.PreemptCapacity {
	c, used := &structs.PreemptCapacity{}, map[string]bool{}
	out := p.Group(place.Ask{Job: job, Group: g, Rows: make([]place.Row, maxPreempting)})
	for _, choice := range out.Choices {
		if choice.OK {
			c.Count++
			c.Preempted += len(choice.Preempts)
			used[choice.NodeID] = true
		}
	}
	c.NodesUsed, c.AtLeast = len(used), c.Count == maxPreempting
	return c
}

// oneByOne places allocations until no node takes another, or limit is reached.
func (in *Input) oneByOne(p *place.Planner, ask place.Ask, limit int, take func(*structs.Node)) {
	for size, left := firstSlice, limit; left > 0; size = min(4*size, lastSlice) {
		ask.Rows = make([]place.Row, min(size, left))
		for _, choice := range p.Group(ask).Choices {
			if !choice.OK {
				return
			}
			left--
			take(in.View.Node(choice.NodeID))
		}
	}
}

func tally(c *structs.GroupCapacity, n *structs.Node, rows int) {
	c.Count += rows
	c.ByPool[n.NodePool] += rows
	c.ByDatacenter[n.Datacenter] += rows
	if n.NodeClass != "" {
		c.ByClass[n.NodeClass] += rows
	}
}

// binding is what keeps the next allocation off the nodes: dimensions first,
// since conditions are a matter of the nodes that were never asked.
func binding(s *structs.NodeSurvey) []*structs.BindCount {
	var out []*structs.BindCount
	for _, e := range s.ExhaustedBy {
		out = append(out, &structs.BindCount{Reason: e.Dimension, Nodes: e.Nodes})
	}
	for _, f := range s.FilteredBy {
		out = append(out, &structs.BindCount{Reason: f.Reason, Nodes: f.Nodes})
	}
	slices.SortStableFunc(out, func(a, b *structs.BindCount) int { return cmp.Compare(b.Nodes, a.Nodes) })
	return out
}

func roomSummary(c *structs.GroupCapacity) string {
	if c.AtLeast {
		return fmt.Sprintf("%d more of group %q fit at least; counting ended there.", c.Count, c.Group)
	}
	if c.Count == 0 {
		return fmt.Sprintf("No more of group %q fits%s: %s.", c.Group, byPreempting(c.Preempting, ", but "), refusals(c.Next))
	}
	verb := "fit"
	if c.Count == 1 {
		verb = "fits"
	}
	return fmt.Sprintf("%d more of group %q %s, on %s%s; then %s.",
		c.Count, c.Group, verb, count(c.NodesUsed, "node"), byPreempting(c.Preempting, ", and "), refusals(c.Next))
}

// byPreempting says how many more fit once others go.
func byPreempting(c *structs.PreemptCapacity, and string) string {
	if c == nil || c.Count == 0 {
		return ""
	}
	more := strconv.Itoa(c.Count)
	if c.AtLeast {
		more = "at least " + more
	}
	return fmt.Sprintf("%s%s more on %s by preempting %s of jobs of lower priority", and, more, count(c.NodesUsed, "node"), count(c.Preempted, "allocation"))
}

func capacitySummary(r *structs.CapacityReport) string {
	if len(r.Groups) == 1 {
		return r.Groups[0].Summary
	}
	if r.Fits {
		return fmt.Sprintf("Job %q fits as it is written.", r.JobID)
	}
	return fmt.Sprintf("Job %q doesn't fit as it is written, all groups together.", r.JobID)
}
