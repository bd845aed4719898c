package reconcile

import (
	"time"

	"github.com/steppe-run/steppe/structs"
)

// classify sorts the group's allocations by what has happened to them.
func (g *group) classify(allocs []*structs.Allocation) {
	g.heirs = heirs(allocs)
	for _, a := range allocs {
		if !g.run.outdated(a) {
			g.hasCurrent = true
		}
		g.sort(a, g.heirs[a.ID] != nil)
	}
}

// heirs finds for each allocation that was replaced the one that stands in its
// place now: its replacement, or that one's.
func heirs(allocs []*structs.Allocation) map[string]*structs.Allocation {
	if len(allocs) == 0 {
		return nil
	}
	previous := make(map[string]string)
	for _, a := range allocs {
		if a.PreviousAllocation != "" {
			previous[a.ID] = a.PreviousAllocation
		}
	}
	out, depth := map[string]*structs.Allocation{}, map[string]int{}
	for _, a := range allocs {
		done := a.ServerTerminal() || a.ClientTerminal() && a.ClientStatus != structs.AllocClientFailed
		if done || previous[a.ID] == "" {
			continue
		}
		var line []string // of its predecessors
		for id := previous[a.ID]; id != ""; id = previous[id] {
			line = append(line, id)
		}
		for _, id := range line {
			if len(line) > depth[id] {
				out[id], depth[id] = a, len(line)
			}
		}
	}
	return out
}

// sort puts one allocation where it belongs.
func (g *group) sort(a *structs.Allocation, replaced bool) {
	gone := g.run.gone(a.NodeID)
	switch {
	case a.ServerTerminal():
		if gone && !a.ClientTerminal() {
			g.run.lose(a) // was told to stop, will not say that it did
		}
		if g.bereft(a) {
			g.owed = append(g.owed, a)
		}
	case a.ClientStatus == structs.AllocClientComplete:
		if g.run.batch && !g.run.outdated(a) {
			g.complete = append(g.complete, a)
		}
	case a.ClientStatus == structs.AllocClientLost:
	case g.unwantedCanary(a):
		g.stopNow(a, gone)
	case a.ClientStatus == structs.AllocClientFailed:
		if !g.run.batch || !g.run.outdated(a) { // a new version of a batch job starts over
			g.sortFailed(a)
		}
	case gone:
		g.sortGone(a, replaced)
	case g.lasts(a):
		if g.desired.Ignore++; !replaced {
			g.beside = append(g.beside, a)
		}
	case a.DesiredTransition.Lasts() && g.run.node(a.NodeID).Status == structs.NodeStatusDisconnected:
		g.sortDisconnected(a, replaced) // it serves on, unseen
	case structs.Value(a.DesiredTransition.Migrate) && replaced:
		g.desired.Migrate++
		g.run.stop(a, structs.DescAllocMigrating)
	case structs.Value(a.DesiredTransition.Migrate):
		g.migrate = append(g.migrate, a)
	case g.run.node(a.NodeID).Status == structs.NodeStatusDisconnected:
		g.sortDisconnected(a, replaced)
	case replaced:
		g.reconnected = append(g.reconnected, a)
	default:
		g.keepOrCanary(a)
	}
}

// lasts reports whether an allocation goes on until its replacement, which runs
// beside it, is healthy: whoever had it migrate says when.
func (g *group) lasts(a *structs.Allocation) bool {
	return a.DesiredTransition.Lasts() && g.run.node(a.NodeID).Status == structs.NodeStatusReady
}

// bereft reports whether an allocation went, since the current deployment began, for
// want of its node and without a successor: there was no room for one.
func (g *group) bereft(a *structs.Allocation) bool {
	if g.run.current == nil || a.ModifyIndex < g.run.current.CreateIndex || a.NextAllocation != "" || a.DeploymentStatus.IsCanary() ||
		structs.Value(a.DesiredTransition.MigrateDisablePlacement) {
		return false
	}
	switch a.DesiredDescription {
	case structs.DescAllocMigrating, structs.DescAllocLost, structs.DescAllocPreempted:
		return true
	}
	return false
}

func (g *group) stopNow(a *structs.Allocation, gone bool) {
	g.desired.Stop++
	if gone && !a.ClientTerminal() {
		g.run.lose(a)
		return
	}
	g.run.stop(a, structs.DescAllocNotNeeded)
}

func (g *group) keepOrCanary(a *structs.Allocation) {
	if g.isCanary(a) {
		g.canaries = append(g.canaries, a)
		return
	}
	g.keep = append(g.keep, a)
}

// isCanary reports whether an allocation is a canary that waits for promotion.
func (g *group) isCanary(a *structs.Allocation) bool {
	if !a.DeploymentStatus.IsCanary() || g.run.current == nil || a.DeploymentID != g.run.current.ID {
		return false
	}
	state := g.run.current.TaskGroups[g.name]
	return state != nil && !state.Promoted
}

// unwantedCanary reports whether an allocation is a canary of a deployment
// that ended without promoting it.
func (g *group) unwantedCanary(a *structs.Allocation) bool {
	if !a.DeploymentStatus.IsCanary() || a.ClientTerminal() && a.ClientStatus != structs.AllocClientFailed {
		return false
	}
	if g.run.current != nil && a.DeploymentID == g.run.current.ID {
		return g.run.failed && g.isCanary(a)
	}
	return g.run.outdated(a)
}

// sortFailed decides whether a failed allocation is replaced now, later or not
// at all. One that is not replaced keeps its place in the group's count.
func (g *group) sortFailed(a *structs.Allocation) {
	switch {
	case a.NextAllocation != "":
		return // replaced already
	case structs.Value(a.DesiredTransition.ForceReschedule):
		g.now = append(g.now, a)
		return
	case g.heldByDeployment(a):
		g.keepOrCanary(a)
		return
	}
	at, ok := nextReschedule(a, g.tg.ReschedulePolicy, g.run.Now)
	switch {
	case !ok:
		g.keepOrCanary(a)
	case g.run.due(a) || !at.After(g.run.Now.Add(rescheduleWindow)):
		g.now = append(g.now, a)
	default:
		g.later = append(g.later, delayed{a, at})
	}
}

// heldByDeployment reports whether the deployment decides about a failed
// allocation, not the reschedule policy: while it is under way its watcher
// asks for the replacement; once it has failed, what never was healthy is not
// tried again.
func (g *group) heldByDeployment(a *structs.Allocation) bool {
	d := g.run.current
	if d == nil || a.DeploymentID != d.ID {
		return false
	}
	if d.Active() {
		return !structs.Value(a.DesiredTransition.Reschedule)
	}
	return g.run.failed && !a.DeploymentStatus.IsHealthy()
}

// sortGone handles an allocation whose node is down or removed.
func (g *group) sortGone(a *structs.Allocation, replaced bool) {
	if replaced && structs.Value(a.DesiredTransition.Migrate) {
		g.run.lose(a)
		return
	}
	if d := g.tg.Disconnect; d != nil && d.Replace != nil && !*d.Replace {
		g.unknown(a, time.Time{}) // stays as it is until its node returns
		g.keepOrCanary(a)
		return
	}
	if replaced {
		g.run.lose(a)
		return
	}
	g.lost = append(g.lost, a)
}

// sortDisconnected handles an allocation whose node is silent but may return.
func (g *group) sortDisconnected(a *structs.Allocation, replaced bool) {
	d := g.tg.Disconnect
	if d == nil || structs.Value(d.LostAfter) <= 0 {
		g.sortGone(a, replaced)
		return
	}
	since := time.Unix(g.run.node(a.NodeID).StatusUpdatedAt, 0)
	deadline := since.Add(structs.Value(d.LostAfter))
	if !deadline.After(g.run.Now) {
		g.sortGone(a, replaced)
		return
	}
	g.unknown(a, deadline)
	switch {
	case replaced:
	case structs.ValueOr(d.Replace, true):
		g.away = append(g.away, a)
	default:
		g.keepOrCanary(a)
	}
}

// unknown marks an allocation as unknown and arranges that it is looked at
// again at the deadline, if there is one.
func (g *group) unknown(a *structs.Allocation, deadline time.Time) {
	known := a.ClientStatus != structs.AllocClientUnknown
	if !known && (deadline.IsZero() || g.run.awaits(a.FollowupEvalID, deadline, structs.TriggerMaxDisconnectTimeout)) {
		return
	}
	mark := structs.AllocMark{
		AllocID: a.ID, ClientStatus: structs.AllocClientUnknown, DesiredDescription: structs.DescAllocUnknown,
	}
	if !deadline.IsZero() {
		mark.FollowupEvalID = g.run.followUp(&g.disconnectWindow, deadline, structs.TriggerMaxDisconnectTimeout)
	}
	g.run.out.Marks = append(g.run.out.Marks, mark)
	if known {
		g.desired.Disconnect++
	}
}
