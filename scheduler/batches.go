package scheduler

import (
	"encoding/hex"
	"slices"

	"github.com/steppe-run/steppe/scheduler/place"
	"github.com/steppe-run/steppe/scheduler/reconcile"
	"github.com/steppe-run/steppe/structs"
)

// batch is placements that differ only in their rows.
type batch struct {
	key  batchKey
	list []*reconcile.Place
}

type batchKey struct {
	group      *structs.TaskGroup
	job        *structs.Job
	deployment string
}

// batches groups placements in the order in which they were asked for.
func (s *Scratch) batches(places []reconcile.Place) []*batch {
	var out []*batch
	var b *batch // most often the one before
	for i := range places {
		p := &places[i]
		key := batchKey{p.Group, p.Job, p.DeploymentID}
		if b == nil || b.key != key {
			at := slices.IndexFunc(out, func(b *batch) bool { return b.key == key })
			if at < 0 {
				at, out = len(out), append(out, &batch{key: key})
			}
			b = out[at]
		}
		if len(out) == 1 {
			s.list = append(s.list, p)
			b.list = s.list
			continue
		}
		b.list = append(b.list, p)
	}
	return out
}

// place chooses nodes for what is to be placed and adds it to the plan, until
// the plan is full. What fits nowhere doesn't fill it: a plan that is cut has
// always made progress.
func (d *decider) place(r *reconcile.Result) {
	if len(r.Places) == 0 {
		return
	}
	planner, budget := d.planner(), MaxPlacements
	if d.whole() {
		budget = len(r.Places) // a rehearsal shows everything, all at once is one plan
	}
	if d.everyNode() {
		d.placeEach(planner, r, budget)
		return
	}
	for _, b := range d.Scratch.batches(r.Places) {
		if budget == 0 {
			d.more = true
			return
		}
		cut := max(0, len(b.list)-budget)
		b.list = b.list[:len(b.list)-cut]
		rest := cut
		if b.key.job == d.job {
			rest += r.Unlisted[b.key.group.GetName()]
		}
		out := planner.Group(d.Scratch.ask(b))
		placed := d.add(b, out)
		budget -= placed
		switch {
		case len(out.Choices) < len(b.list): // enough others had to go for one plan
			d.more = true
			return
		case rest == 0:
		case placed < len(b.list): // no room for the rest either
			d.queued[b.key.group.GetName()] += rest
			d.failed[b.key.group.GetName()].CoalescedFailures += rest
		default:
			d.more = true
		}
	}
}

func (s *Scratch) ask(b *batch) place.Ask {
	s.rows = s.rows[:0]
	for _, p := range b.list {
		row := place.Row{Penalized: p.Penalized, Prefer: p.Prefer, Node: p.Node}
		if p.Stop != nil {
			row.Replaces = p.Stop.AllocID
		}
		s.rows = append(s.rows, row)
	}
	return place.Ask{Job: b.key.job, Group: b.key.group, Rows: s.rows}
}

// add puts the outcome of a batch into the plan, and returns how many found a
// node. Rows whose cores are faster than others' take more compute: they are a
// group of their own.
func (d *decider) add(b *batch, out place.Outcome) (placed int) {
	name := b.key.group.GetName()
	first := len(d.plan.Groups)
	speeds := make([]int64, 0, 4) // of the plan's groups from the first on
	for i := range out.Choices {
		c, p := &out.Choices[i], b.list[i]
		if !c.OK {
			if !c.Filtered {
				d.queued[name]++
			}
			continue
		}
		if p.Stop != nil {
			d.plan.Stops = append(d.plan.Stops, *p.Stop)
		}
		g := slices.Index(speeds, c.CoreMHz)
		if g < 0 {
			g, speeds = len(speeds), append(speeds, c.CoreMHz)
			d.plan.Groups = append(d.plan.Groups, d.group(b, &out, c.CoreMHz))
		}
		group := &d.plan.Groups[first+g]
		n := len(group.Rows)
		group.Rows = group.Rows[:n+1] // it has room for all
		row := &group.Rows[n]
		row.NodeID, row.NameIndex, row.Canary = c.NodeID, p.NameIndex, p.Canary
		row.Ports, row.Devices, row.Cores, row.Preempts = c.Ports, c.Devices, c.Cores, c.Preempts
		row.Reschedule, row.Metrics = p.Reschedule, c.Metrics
		if p.Previous != nil {
			row.PreviousAllocation = p.Previous.ID
		}
		placed++
	}
	if out.Failed != nil {
		d.fail(name, out)
	}
	return placed
}

// group begins a group of placements.
func (d *decider) group(b *batch, out *place.Outcome, coreMHz int64) structs.PlacementGroup {
	group := structs.PlacementGroup{
		TaskGroup:    b.key.group.GetName(),
		DeploymentID: b.key.deployment,
		Resources:    out.Resources,
		Metrics:      out.Metrics,
		Seed:         seedOf(d.NewID()),
		Rows:         make([]structs.Placement, 0, len(b.list)),
	}
	if coreMHz > 0 {
		group.Resources = place.ResourcesWithCores(out.Resources, b.key.group, coreMHz)
	}
	if b.key.job != d.job {
		version := b.key.job.GetVersion()
		group.JobVersion = &version
	}
	return group
}

// fail notes the placements of a group that fit nowhere.
func (d *decider) fail(group string, out place.Outcome) {
	if d.failed == nil {
		d.failed = map[string]*structs.AllocationMetric{}
		d.classes = map[string]bool{}
	}
	if m := d.failed[group]; m != nil {
		m.CoalescedFailures += 1 + out.Failed.CoalescedFailures
	} else {
		d.failed[group] = out.Failed
	}
	for class, ok := range out.Classes {
		d.classes[class] = d.classes[class] || ok
	}
	d.escaped = d.escaped || out.Escaped
}

// seedOf turns a UUID into the seed of a batch's ids. A text that is no UUID
// (tests count instead) is taken as it is.
func seedOf(id string) [16]byte {
	var seed [16]byte
	var digits [36]byte
	n := 0
	for i := 0; i < len(id) && n < len(digits); i++ {
		if id[i] != '-' {
			digits[n] = id[i]
			n++
		}
	}
	if _, err := hex.Decode(seed[:], digits[:min(n, 32)]); err != nil || n != 32 {
		seed = [16]byte{}
		copy(seed[:], id)
	}
	return seed
}
