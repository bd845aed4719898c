package place

import (
	"math"
	"slices"

	"github.com/steppe-run/steppe/scheduler/capacity"
	"github.com/steppe-run/steppe/scheduler/feasible"
	"github.com/steppe-run/steppe/structs"
)

// Study is what the planner thinks of every node for the next row of an ask.
// It places nothing. It is true until the planner places or frees something.
type Study struct {
	r      *run
	checks []feasible.Check
	holds  []capacity.Bits // by check
}

// Verdict is what the planner thinks of one node. At most one of Filtered and
// Exhausted is set, the first that the planner meets; if neither is, the node
// fits and has a Score.
type Verdict struct {
	Node *structs.Node
	// Filtered is the condition or limit that keeps the row off the node.
	Filtered string
	// Exhausted is the dimension in which the node has no room.
	Exhausted string
	// Preempting is set if an exhausted node has room once others go.
	Preempting bool
	Score      *structs.NodeScoreMeta
	// Tie orders nodes of equal score, lowest first.
	Tie uint64
	// Busy is set if the node is taken only after all others, see
	// capacity.MaxStarting.
	Busy bool
}

// Fits reports whether the node could take the row.
func (v *Verdict) Fits() bool { return v.Filtered == "" && v.Exhausted == "" }

// Study begins a study of one more allocation of a group.
func (p *Planner) Study(job *structs.Job, group *structs.TaskGroup) *Study {
	r := p.start(new(run), Ask{Job: job, Group: group})
	s := &Study{r: r, checks: feasible.Checks(job, group)}
	for _, c := range s.checks {
		s.holds = append(s.holds, r.verdict(c))
	}
	return s
}

// Checks returns the conditions that filter nodes, in their order.
func (s *Study) Checks() []feasible.Check { return s.checks }

// Group returns the group of which a row is studied.
func (s *Study) Group() *structs.TaskGroup { return s.r.ask.Group }

// Conflict returns conditions that no node which is asked satisfies together,
// and of which none can be left out; nil if a node satisfies all conditions.
func (s *Study) Conflict() []string {
	var out []string
	rest, last := s.r.sieve.Asked.Clone(s.r.x.Len()), len(s.holds)
	if rest.Count() == 0 || s.r.feasible.Count() > 0 {
		return nil
	}
	// The condition that leaves no node over is one of them. With it, fewer of
	// those before are needed.
	for rest.Count() > 0 {
		left, at := rest.Clone(s.r.x.Len()), 0
		for ; at < last; at++ {
			if left.And(s.holds[at]); left.Count() == 0 {
				break
			}
		}
		if at == last {
			return nil // all that was asked is satisfied: it changed meanwhile
		}
		rest.And(s.holds[at])
		out, last = append(out, s.Checks()[at].Reason), at
	}
	slices.Reverse(out)
	return out
}

// Each calls f for every node that is asked at all: ready, in the job's pool
// and datacenters.
func (s *Study) Each(f func(Verdict)) {
	s.r.sieve.Asked.Each(func(i int32) { f(s.judge(i)) })
}

// Node returns the verdict on one node as if it were asked, whether it is or
// not; ok is false if the node isn't known.
func (s *Study) Node(id string) (v Verdict, ok bool) {
	i, ok := s.r.x.Number(id)
	if !ok {
		return Verdict{}, false
	}
	return s.judge(i), true
}

func (s *Study) judge(i int32) Verdict {
	v := Verdict{Node: s.r.x.Node(i), Tie: capacity.Tie(s.r.x.Hash(i), s.r.opts.Seed), Busy: s.r.busy(i)}
	for c, nodes := range s.holds {
		if !nodes.Has(i) {
			v.Filtered = s.checks[c].Reason
			return v
		}
	}
	if v.Filtered = s.r.limitedBy(i); v.Filtered != "" {
		return v
	}
	if v.Exhausted = s.misfit(i); v.Exhausted != "" {
		v.Preempting = len(s.r.wouldGo(i)) > 0
		return v
	}
	scored := s.r.finish(s.r.score(i, false))
	meta := s.r.meta(&scored, s.r.parts(nil, &scored))
	v.Score = &meta
	return v
}

// Room returns the allocations that have to go from a node so that the row fits
// there, nil if none can, or none has to.
func (s *Study) Room(nodeID string) []*structs.Allocation {
	i, ok := s.r.x.Number(nodeID)
	if !ok || !s.r.allowed(i) {
		return nil
	}
	gone := s.r.wouldGo(i)
	if len(gone) == 0 {
		return nil
	}
	return s.r.named(i, gone)
}

// Fill gives every node as many more allocations of the group as it takes, and
// calls each with their number. It does so only where a row takes nothing but
// amounts of its own node; otherwise it reports false, and what fits can only be
// found by placing one after the other. It ends the study.
func (s *Study) Fill(each func(n *structs.Node, rows int)) bool {
	r := s.r
	if !r.ports.none() || !r.things.none() || len(r.limits) > 0 || r.amount == (capacity.Amount{}) {
		return false
	}
	r.sieve.Asked.Each(func(i int32) {
		for _, nodes := range s.holds {
			if !nodes.Has(i) {
				return
			}
		}
		if n := r.takes(i); n > 0 {
			r.change(i, capacity.Amount{CPU: r.amount.CPU * n, Memory: r.amount.Memory * n, Disk: r.amount.Disk * n}, int(n))
			each(r.x.Node(i), int(n))
		}
	})
	return true
}

// takes is how many rows a node has room for, as far as amounts say.
func (r *run) takes(i int32) int64 {
	used, _ := r.state(i)
	left := r.x.Total(i).Minus(used)
	n := int64(math.MaxInt32)
	for _, d := range [][2]int64{{left.CPU, r.amount.CPU}, {left.Memory, r.amount.Memory}, {left.Disk, r.amount.Disk}} {
		switch free, each := d[0], d[1]; {
		case free < 0:
			return 0
		case each > 0:
			n = min(n, free/each)
		}
	}
	if limit := r.x.MaxAllocs(i); limit > 0 {
		have := r.x.Allocs(i)
		if d := r.deltas.Get(i); d != nil {
			have += d.allocs
		}
		n = min(n, int64(max(0, limit-have)))
	}
	return n
}

// misfit is the run's, and finds also what only the choice of ports finds.
func (s *Study) misfit(i int32) string {
	if why := s.r.misfit(i); why != "" {
		return why
	}
	if s.r.ports.none() {
		return ""
	}
	if _, ok := s.r.assign(&s.r.ports, i); !ok {
		return dynamicPorts
	}
	return ""
}

// dynamicPorts is the dimension of which the choice of ports runs out.
const dynamicPorts = "network: dynamic ports"

// Reached is a limit on allocations that share a value, used up on a node.
type Reached struct {
	feasible.Distinct
	// Value is what the node has, Known if it has any.
	Value string
	Known bool
	// Used is how many allocations share it.
	Used int
}

// Limits returns all limits that keep the row off a node.
func (s *Study) Limits(nodeID string) []Reached {
	i, ok := s.r.x.Number(nodeID)
	if !ok {
		return nil
	}
	var out []Reached
	for _, l := range s.r.limits {
		if !l.reached(i) {
			continue
		}
		hit := Reached{Distinct: l.Distinct, Known: true, Used: l.used[l.value(i)]}
		if l.column == nil {
			hit.Value = nodeID
		} else {
			hit.Value, hit.Known = feasible.Value(l.Attribute, s.r.x.Node(i))
		}
		out = append(out, hit)
	}
	return out
}

// Shortages returns all dimensions in which a node has no room for the row,
// ports that are taken aside (see Collisions). It is empty, and there are no
// collisions, if and only if the node's verdict names no dimension.
func (s *Study) Shortages(nodeID string) []*structs.Shortage {
	i, ok := s.r.x.Number(nodeID)
	if !ok {
		return nil
	}
	var out []*structs.Shortage
	used, _ := s.r.state(i)
	total, amount := s.r.x.Total(i), s.r.amountOn(i)
	add := func(dimension, unit string, needed, free, total int64) {
		if needed > free {
			out = append(out, &structs.Shortage{Dimension: dimension, Needed: needed, Free: free, Total: total, Unit: unit})
		}
	}
	add("cpu", "MHz", amount.CPU, total.CPU-used.CPU, total.CPU)
	add("memory", "MiB", amount.Memory, total.Memory-used.Memory, total.Memory)
	add("disk", "MiB", amount.Disk, total.Disk-used.Disk, total.Disk)
	if limit := s.r.x.MaxAllocs(i); limit > 0 {
		n := s.r.x.Allocs(i)
		if d := s.r.deltas.Get(i); d != nil {
			n += d.allocs
		}
		add("max allocations", "allocations", 1, int64(limit-n), int64(limit))
	}
	if n := s.r.things.cores; n > 0 {
		var all []uint16
		if res := s.r.x.Node(i).NodeResources; res != nil {
			all = res.Cpu.ReservableCpuCores
		}
		add("cores", "cores", int64(n), int64(len(s.r.freeCores(i, len(all)))), int64(len(all)))
	}
	if len(s.r.things.devices) > 0 {
		if m := s.r.match(i); !m.found {
			add("devices: "+m.lacks, "devices", int64(m.need), int64(m.left), int64(m.all))
		}
	}
	for _, want := range s.r.ports.byNetwork {
		if free, all, known := s.dynamic(i, want); known {
			add(dynamicPorts, "ports", int64(want.n), int64(free), int64(all))
		}
	}
	return s.others(i, out)
}

// others adds the dimension that the planner names, if it is none of those
// that Shortages knows and no port that is taken.
func (s *Study) others(i int32, out []*structs.Shortage) []*structs.Shortage {
	if len(out) > 0 || len(s.collisions(i)) > 0 {
		return out
	}
	if why := s.misfit(i); why != "" {
		out = append(out, &structs.Shortage{Dimension: why})
	}
	return out
}

// dynamic counts the free dynamic ports of a host network, as far as they
// matter.
func (s *Study) dynamic(i int32, want networkCount) (free, all int, known bool) {
	ports := s.r.x.Ports(i)
	ip, known := ports.Address(want.name)
	lo, hi := ports.Range()
	all = max(0, hi-lo+1)
	return countFree(ports, s.r.deltas.Get(i), ip, want.n), all, known
}

// Collision is a static port that a node can't give.
type Collision struct {
	structs.Port
	// IP is the address on which it is wanted.
	IP string
	// NoNetwork is set if the node doesn't have the port's host network.
	NoNetwork bool
	// Reserved is set if the node's operator keeps it.
	Reserved bool
	// Taken is set if the planner itself gave it away just now.
	Taken bool
}

// Collisions returns all static ports that a node can't give.
func (s *Study) Collisions(nodeID string) []Collision {
	if i, ok := s.r.x.Number(nodeID); ok {
		return s.collisions(i)
	}
	return nil
}

func (s *Study) collisions(i int32) []Collision {
	ports, d := s.r.x.Ports(i), s.r.deltas.Get(i)
	var out []Collision
	for _, port := range s.r.ports.static {
		ip, known := ports.Address(port.HostNetwork)
		if !known {
			out = append(out, Collision{Port: port, NoNetwork: true})
			continue
		}
		if port.IgnoreCollision || freePort(ports, d, ip, port.Value) {
			continue
		}
		out = append(out, Collision{
			Port: port, IP: ip, Reserved: ports.Reserved(ip, uint16(port.Value)), Taken: ports.Free(ip, uint16(port.Value)),
		})
	}
	return out
}
