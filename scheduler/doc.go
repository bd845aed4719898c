// Package scheduler decides. It takes one evaluation and what the cluster
// looks like, and returns a plan: what to stop, to update where it runs and to
// place where, together with the reasons and with the evaluations that follow.
//
// It is pure. It must not know a clock, a log, a store, a goroutine or a
// global source of random numbers; the same input gives the same bytes. What
// it may remember between calls lives in a Capacity, whose owner is the placer.
//
// Its rooms: reconcile compares what a job wants with what it has; feasible
// judges nodes; rank holds the formulas of the scores; capacity indexes what
// nodes have left; place chooses nodes for what reconcile wants placed. Begin
// reading at Schedule, then reconcile.Compute and place.Group.
package scheduler
