// Package rank holds the formulas that score a node for a placement. Each is a
// number from -1 (worst) to 1 (best); a node's score is the mean of those that
// are present.
//
// The fit formula is the one known as best fit version 3, published by Google
// engineers for the datacenter bin-packing problem and used by the schedulers
// of this field: with the free shares of CPU and memory after the placement,
// total = 10^freeCPU + 10^freeMemory lies between 2 (full) and 20 (empty);
// packing scores 20 - total, spreading total - 2, both over 18. The
// anti-affinity, affinity and penalty formulas are those that the field's
// manuals describe. The spread formulas are ours, see spread.go.
//
// The package must not know nodes, jobs or plans. Begin reading at Fit.
package rank

import "github.com/steppe-run/steppe/scheduler/capacity"

// The names of the parts, as explanations and the command line show them.
const (
	NameBinPack           = "binpack"
	NameSpreadFit         = "spread"
	NameAntiAffinity      = "job-anti-affinity"
	NameReschedulePenalty = "node-reschedule-penalty"
	NameAffinity          = "node-affinity"
	NameSpread            = "allocation-spread"
	NameDevices           = "devices"
	NamePreemption        = "preemption"
)

// fitRange is the distance between an empty and a full node.
const fitRange = 18

// ReschedulePenalty scores a node on which the placement's predecessor failed.
const ReschedulePenalty = -1.0

// BinPack prefers nodes that the placement leaves full; free is what is left
// after it.
func BinPack(free capacity.Pow) float64 {
	return clip((20 - (free.CPU + free.Memory)) / fitRange)
}

// SpreadFit prefers nodes that the placement leaves empty.
func SpreadFit(free capacity.Pow) float64 {
	return clip((free.CPU + free.Memory - 2) / fitRange)
}

func clip(score float64) float64 { return min(max(score, 0), 1) }

// AntiAffinity keeps a service's instances apart: collisions are the instances
// of the group already on the node, count is how many it wants in all. It is
// absent (0) where there are none.
func AntiAffinity(collisions, count int) float64 {
	if collisions == 0 {
		return 0
	}
	return max(-1, -float64(collisions+1)/float64(max(count, 1)))
}

// Preemption scores what has to go for a placement; cost is the sum of its
// priorities and penalties. It falls from 1, where that is nothing, through 0 at
// a cost of 100 to -1.
func Preemption(cost float64) float64 { return (100 - cost) / (100 + cost) }

// Affinity is the share of the weights that a node satisfies, negative weights
// counting against it. It is present wherever a group has affinities.
func Affinity(satisfied, weights float64) float64 {
	if weights == 0 {
		return 0
	}
	return satisfied / weights
}
