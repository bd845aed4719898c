package preempt

import "github.com/steppe-run/steppe/scheduler/capacity"

// Promise is what a choice comes to at best.
type Promise struct {
	// Cost is the least that it costs.
	Cost float64
	// Number is the least number that has to go.
	Number int
	// Least and Most bound what the node has left once the choice is made.
	Least, Most capacity.Amount
}

// Promise tells what a choice among a crowd, or a part of it, comes to at best
// without making it; ok is false if all of them together are surely not enough.
// Nothing that Other tells is looked at.
func (n *Node) Promise(c *capacity.Crowd) (p Promise, ok bool) {
	over := &n.Over
	if c.Sum.CPU < over.CPU || c.Sum.Memory < over.Memory || c.Sum.Disk < over.Disk || int(c.N) < n.Slots {
		return p, false
	}
	least := max(1, int64(n.Slots), times(over.CPU, c.Most.CPU), times(over.Memory, c.Most.Memory), times(over.Disk, c.Most.Disk))
	return Promise{
		Cost: float64(least * int64(c.Lowest)), Number: int(least),
		Least: capacity.Amount{
			CPU:    max(0, least*c.Least.CPU-over.CPU),
			Memory: max(0, least*c.Least.Memory-over.Memory),
			Disk:   max(0, least*c.Least.Disk-over.Disk),
		},
		Most: c.Sum.Minus(*over),
	}, true
}

// CostOf is what it costs to let n go that are like c.
func (c *Candidate) CostOf(n int) float64 {
	var cost float64
	for i := range n {
		cost += float64(c.Priority) + c.penalty(1+i)
	}
	return cost
}

// times is how many of a size it takes at least to reach what is over.
func times(over, size int64) int64 {
	if over <= 0 || size <= 0 {
		return 0
	}
	return (over + size - 1) / size
}
