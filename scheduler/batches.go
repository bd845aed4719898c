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
	for i := range places {
		p := &places[i]
		key := batchKey{p.Group, p.Job, p.DeploymentID}
		b := at[key]
		if b == nil {
			b = &batch{key: key}
			at[key] = b
			out = append(out, b)
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
	if d.Annotate {
		budget = len(r.Places) // a rehearsal shows everything
	}
	for _, b := range batches(r.Places) {
		if budget == 0 {
			d.more = true
			return
		}
		rest := max(0, len(b.list)-budget)
		b.list = b.list[:len(b.list)-rest]
		placed := d.add(b, planner.Group(b.ask()))
		budget -= placed
		switch {
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
// node.
func (d *decider) add(b *batch, out place.Outcome) (placed int) {
	name := b.key.group.GetName()
	group := structs.PlacementGroup{
		TaskGroup:    name,
		DeploymentID: b.key.deployment,
		Resources:    out.Resources,
		Metrics:      out.Metrics,
		Rows:         make([]structs.Placement, 0, len(b.list)),
	}
	if b.key.job != d.job {
		version := b.key.job.GetVersion()
		group.JobVersion = &version
	}
	for i, c := range out.Choices {
		p := b.list[i]
		if !c.OK {
			d.queued[name]++
			continue
		}
		row := structs.Placement{
			NodeID: c.NodeID, NameIndex: p.NameIndex, Canary: p.Canary,
			Ports: c.Ports, Reschedule: p.Reschedule, Metrics: c.Metrics,
		}
		if p.Previous != nil {
			row.PreviousAllocation = p.Previous.ID
		}
		if p.Stop != nil {
			d.plan.Stops = append(d.plan.Stops, *p.Stop)
		}
		group.Rows = append(group.Rows, row)
	}
	if len(group.Rows) > 0 {
		group.Seed = seedOf(d.NewID())
		d.plan.Groups = append(d.plan.Groups, group)
	}
	if out.Failed != nil {
		d.fail(name, out)
	}
	return len(group.Rows)
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
