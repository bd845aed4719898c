// Package state is the replicated store: what every server of a region knows.
// Commands of the replicated log go in, one at a time and in order; typed
// tables, snapshots of them and a feed of what changed come out.
//
// Everything that follows from a command is computed while it is applied: the
// status of jobs, their summaries, the counters of deployments, what a node has
// in use. So applying is deterministic: no clock, no random numbers, no
// floating point, and no panic on anything that decodes.
//
// It must not know Raft, HTTP, the scheduler or who asks. Values that it
// returns are shared and immutable: copy before changing one.
//
// Begin reading at Store (store.go), then tables.go for what there is, txn.go
// for how a command changes it, and package alloc for how allocations are kept.
package state
