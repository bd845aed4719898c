package scheduler

import (
	"encoding/hex"
	"strings"

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
func batches(places []reconcile.Place) []*batch {
	var out []*batch
	at := map[batchKey]*batch{}
	var b *batch // most often the one before
	for i := range places {
		p := &places[i]
		key := batchKey{p.Group, p.Job, p.DeploymentID}
		if b == nil || b.key != key {
			if b = at[key]; b == nil {
				b = &batch{key: key}
				if len(out) == 0 {
					b.list = make([]*reconcile.Place, 0, len(places))
				}
				at[key] = b
				out = append(out, b)
			}
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
	if d.Annotate || d.allAtOnce() {
		budget = len(r.Places) // a rehearsal shows everything, all at once is one plan
	}
	for _, b := range batches(r.Places) {
		if budget == 0 {
			d.more = true
			return
		}
		rest := max(0, len(b.list)-budget)
		b.list = b.list[:len(b.list)-rest]
		out := planner.Group(b.ask())
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

func (b *batch) ask() place.Ask {
	ask := place.Ask{Job: b.key.job, Group: b.key.group, Rows: make([]place.Row, len(b.list))}
	for i, p := range b.list {
		ask.Rows[i] = place.Row{Penalized: p.Penalized, Prefer: p.Prefer}
		if p.Stop != nil {
			ask.Rows[i].Replaces = p.Stop.AllocID
		}
	}
	return ask
}

// add puts the outcome of a batch into the plan, and returns how many found a
// node. Rows whose cores are faster than others' take more compute: they are a
// group of their own.
func (d *decider) add(b *batch, out place.Outcome) (placed int) {
	name := b.key.group.GetName()
	at := map[int64]int{} // place in the plan's groups, by the compute of a core
	for i, c := range out.Choices {
		p := b.list[i]
		if !c.OK {
			d.queued[name]++
			continue
		}
		row := structs.Placement{
			NodeID: c.NodeID, NameIndex: p.NameIndex, Canary: p.Canary,
			Ports: c.Ports, Devices: c.Devices, Cores: c.Cores, Preempts: c.Preempts,
			Reschedule: p.Reschedule, Metrics: c.Metrics,
		}
		if p.Previous != nil {
			row.PreviousAllocation = p.Previous.ID
		}
		if p.Stop != nil {
			d.plan.Stops = append(d.plan.Stops, *p.Stop)
		}
		g, known := at[c.CoreMHz]
		if !known {
			g = len(d.plan.Groups)
			at[c.CoreMHz] = g
			d.plan.Groups = append(d.plan.Groups, d.group(b, &out, c.CoreMHz))
		}
		d.plan.Groups[g].Rows = append(d.plan.Groups[g].Rows, row)
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
	if b, err := hex.DecodeString(strings.ReplaceAll(id, "-", "")); err == nil && len(b) == len(seed) {
		copy(seed[:], b)
	} else {
		copy(seed[:], id)
	}
	return seed
}
