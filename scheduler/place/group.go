package place

import (
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/structs"
)

// Row is one allocation to place.
type Row struct {
	// Replaces is an existing allocation that is stopped if, and only if, the
	// row finds a node; what it takes is free for the row.
	Replaces string
	// Penalized are nodes on which predecessors of the row failed.
	Penalized []string
	// Prefer is a node to take before any other, if it fits: there is the data.
	Prefer string
	// Node is the only node that will do, if the planner is asked to take it
	// (Each).
	Node string
}

// Ask is a group of placements that differ only in their rows.
type Ask struct {
	Job   *structs.Job
	Group *structs.TaskGroup
	Rows  []Row
}

// Choice is the node of one row. OK is false if none fits.
type Choice struct {
	OK     bool
	NodeID string
	Ports  []structs.PortMapping
	// Devices and Cores are given by task; CoreMHz is the compute of each core.
	Devices map[string][]*structs.AllocatedDeviceResource
	Cores   map[string][]uint16
	CoreMHz int64
	// Preempts are the allocations that have to go for the row.
	Preempts []string
	cost     float64 // of that
	// Filtered is set if the row's own node doesn't satisfy the group, see Each.
	Filtered bool
	// Metrics explains the node, if the outcome's doesn't.
	Metrics *structs.AllocationMetric
}

// Outcome is what became of an Ask.
type Outcome struct {
	// Choices are one a row. There are fewer if the evaluation has taken as much
	// room of others as one plan may.
	Choices []Choice
	// Resources is what each placed row takes, host ports and things aside.
	Resources *structs.AllocatedResources
	// Metrics explains the choices.
	Metrics *structs.AllocationMetric
	// Failed explains the rows that fit nowhere, nil if there are none.
	Failed *structs.AllocationMetric
	// Classes tells, if rows failed, of each computed class of nodes whether a
	// node of it satisfies the group's conditions. Escaped is set when that
	// can't be told by class.
	Classes map[string]bool
	Escaped bool
}

// maxPresized bounds what is made ready for as many nodes as there are rows.
const maxPresized = 4096

// maxRowMetrics is how many rows of a batch carry an explanation of their own.
const maxRowMetrics = 8

// Group chooses a node for each row of an ask, best first. The choices hold until
// the planner is asked again.
func (p *Planner) Group(ask Ask) Outcome {
	r := p.start(&p.group, ask)
	clear(p.choices)
	p.choices = slices.Grow(p.choices[:0], len(ask.Rows))[:len(ask.Rows)]
	out := Outcome{Choices: p.choices, Resources: r.resources, Metrics: r.batch}
	exhausted := false // no room for rows that bring none
	for i := range ask.Rows {
		row := &ask.Rows[i]
		if p.full() {
			out.Choices = out.Choices[:i]
			break
		}
		r.refill()
		if exhausted && row.Replaces == "" {
			out.Failed.CoalescedFailures++
			continue
		}
		if r.choose(row, &out.Choices[i]) {
			continue
		}
		if out.Failed != nil {
			out.Failed.CoalescedFailures++
		} else {
			out.Failed = r.explainFailure()
			out.Classes, out.Escaped = r.classes()
		}
		exhausted = exhausted || row.Replaces == ""
	}
	return out
}

// run is the state of one ask.
type run struct {
	*Planner
	ask       Ask
	resources *structs.AllocatedResources
	amount    capacity.Amount
	ports     portAsk
	things    thingAsk

	sieve    *capacity.Sieve
	feasible capacity.Bits // the sieve's

	mates     *capacity.ByNode[int] // allocations of the group by node
	service   bool
	affinity  []weighted
	weights   float64
	limits    []*limit
	spreads   []*spread
	factors   []factor
	lastTotal capacity.Amount
	last      capacity.Pow

	stream *capacity.Stream // nil: every feasible node is in the buckets
	head   capacity.Found   // the stream's next node
	headed bool             // there is one
	search capacity.Search

	buckets []*bucket
	spare   []*bucket // not in use
	tops    []top     // of each bucket
	seenAll uint64    // what the spreads had counted when the tops were last doubted
	byKey   map[bucketKey]int
	epochs  capacity.ByNode[uint32] // nodes whose older entries are void
	aside   []int32
	rooms   rooms
	lastKey bucketKey
	lastAt  int
	values  []int32                   // see finish
	leaders []scored                  // see top
	batch   *structs.AllocationMetric // explains the whole ask
}

// weighted is the nodes that an affinity prefers.
type weighted struct {
	nodes  capacity.Bits
	weight float64
}

// reset makes a run ready for another ask, with what the last one had allocated.
func (r *run) reset(p *Planner, ask Ask) {
	r.forget()
	*r = run{
		Planner: p, ask: ask,
		affinity: r.affinity[:0], limits: r.limits[:0], spreads: r.spreads[:0], factors: r.factors[:0],
		search: r.search, buckets: r.buckets, spare: r.spare, tops: r.tops, epochs: r.epochs, aside: r.aside[:0], values: r.values, leaders: r.leaders[:0],
		rooms: rooms{heap: r.rooms.heap[:0], known: r.rooms.known[:0], aside: r.rooms.aside[:0]},
	}
}

// start prepares a run for an ask and offers all nodes.
func (p *Planner) start(r *run, ask Ask) *run {
	p.prepare(r, ask)
	r.prefer()
	r.spread()
	r.fill()
	r.batch = r.explainBatch()
	return r
}

// prepare finds what an ask takes and which nodes satisfy it.
func (p *Planner) prepare(r *run, ask Ask) {
	rows := min(len(ask.Rows), maxPresized)
	if p.deltas.Len() == 0 {
		p.deltas.Reset(rows)
	}
	r.reset(p, ask)
	r.resources = p.resources(ask.Group)
	r.ports = portsAsked(ask.Group)
	r.things = thingsAsked(ask.Group)
	r.mates = p.mates(ask.Group.GetName(), rows)
	r.service = ask.Job.GetType() == structs.JobTypeService
	r.amount = capacity.AmountOf(r.resources)
	r.filter()
	r.limit()
}

func (r *run) verdict(c feasible.Check) capacity.Bits { return r.x.Verdict(c.Name, c.Make) }

// prefer finds the nodes that the affinities prefer.
func (r *run) prefer() {
	add := func(list []*structs.Affinity) {
		for _, a := range list {
			w := float64(structs.ValueOr(a.Weight, 50))
			r.affinity = append(r.affinity, weighted{nodes: r.verdict(feasible.Affinity(a)), weight: w})
			r.weights += max(w, -w)
		}
	}
	add(r.ask.Job.Affinities)
	add(r.ask.Group.Affinities)
	for _, t := range r.ask.Group.Tasks {
		add(t.Affinities)
	}
}

// choose finds the best node for a row and takes its place there.
func (r *run) choose(row *Row, out *Choice) bool {
	if row.Replaces != "" {
		r.vacate(row.Replaces)
	}
	node, ok := r.find(row, out)
	if !ok {
		r.restore()
		if row.Replaces != "" {
			r.swapIn(row.Replaces)
			r.reinstate(row.Replaces)
		}
		return false
	}
	if out.Ports == nil && !r.ports.none() {
		out.Ports, _ = r.assign(&r.ports, node) // find has seen that they fit
	}
	out.OK, out.NodeID = true, r.x.Node(node).ID
	if len(r.ask.Rows) <= maxRowMetrics || len(out.Preempts) > 0 {
		s := r.score(node, r.penalized(row, node))
		if len(out.Preempts) > 0 {
			s.makesRoom(out.cost)
		}
		out.Metrics = r.explainRow(r.finish(s))
	}
	r.occupy(node, out)
	r.restore()
	return true
}

// find finds the node of a row: the preferred one, else the best that has room,
// else the best where others can go.
func (r *run) find(row *Row, out *Choice) (int32, bool) {
	node, ok := r.preferred(row)
	for !ok {
		if node, ok = r.best(row); !ok {
			return r.makeRoom(row, out)
		}
		// It may look as if there were ports enough: then never again.
		out.Ports, ok = r.assign(&r.ports, node)
	}
	return node, true
}

// preferred returns the row's preferred node, if it fits.
func (r *run) preferred(row *Row) (int32, bool) {
	if row.Prefer == "" {
		return 0, false
	}
	node, ok := r.x.Number(row.Prefer)
	if !ok || !r.feasible.Has(node) || !r.allowed(node) || r.misfit(node) != "" {
		return 0, false
	}
	if _, ok = r.assign(&r.ports, node); !ok {
		return 0, false
	}
	r.void(node)
	return node, true
}

// occupy counts the row on its node and offers the node again, if it still fits.
func (r *run) occupy(node int32, out *Choice) {
	r.seat(node, out)
	r.offer(node)
	r.lookAgain(node)
}

// seat counts the row on its node.
func (r *run) seat(node int32, out *Choice) {
	pow := r.after(node)
	if !r.things.none() {
		r.grant(node, out)
		out.CoreMHz = r.coreMHz(node)
	}
	d := r.delta(node)
	d.used, d.allocs, d.starts, d.pow = d.used.Plus(r.amountOn(node)), d.allocs+1, d.starts+1, pow
	if len(out.Ports) > 0 {
		d.taken = append(d.taken, heldOf(out.Ports)...)
	}
	*r.mates.Ref(node)++
	r.tally(node, 1)
	r.rows++
}

// vacate frees what a row replaces and offers its node anew.
func (r *run) vacate(allocID string) {
	node, known := r.swapOut(allocID)
	if !known {
		return
	}
	r.tally(node, -1)
	r.reoffer(node)
}

// reinstate counts again what a row was to replace.
func (r *run) reinstate(allocID string) {
	e := r.existing[allocID]
	node, known := r.x.Number(e.NodeID)
	if !known {
		return
	}
	r.tally(node, 1)
	r.reoffer(node)
}

// reoffer puts a node into the heaps after it changed. A limit on a property
// concerns other nodes too: then all are offered anew.
func (r *run) reoffer(node int32) {
	r.lookAgain(node)
	for _, l := range r.limits {
		if l.column != nil {
			r.fill()
			r.rooms.begun = false
			return
		}
	}
	r.void(node)
	r.offer(node)
}
