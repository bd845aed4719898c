package reconcile

import (
	"slices"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// reconnect chooses, for each allocation that came back after it was replaced,
// whether it or its replacement goes on.
func (g *group) reconnect() {
	if len(g.reconnected) == 0 {
		return
	}
	stays := map[*structs.Allocation]*structs.Allocation{} // instead of an heir
	for _, a := range g.reconnected {
		heir := g.heirs[a.ID]
		rival := heir
		if stays[heir] != nil {
			rival = stays[heir]
		}
		list, at := g.standing(rival)
		g.desired.Reconnect++
		switch {
		case a.ClientStatus == structs.AllocClientUnknown:
			// Its node is back but hasn't said yet what became of it.
		case at < 0: // the replacement is not running, or is about to move
			g.dismiss(rival)
			g.keepOrCanary(a)
			stays[heir] = a
		case a.NextAllocation == "" && !rival.DeploymentStatus.IsHealthy():
			// It was never out of sight: the drain that had it replaced was called off.
			g.run.stop(rival, structs.DescAllocNotNeeded)
			g.desired.Stop++
			list[at], stays[heir] = a, a
		case g.prefersOriginal(a, rival):
			g.stopReconnected(rival)
			list[at], stays[heir] = a, a
		default:
			g.stopReconnected(a)
		}
	}
}

// standing finds an allocation among those that go on, -1 if it isn't there: a canary
// is replaced by a canary.
func (g *group) standing(a *structs.Allocation) (list []*structs.Allocation, at int) {
	if at = slices.Index(g.keep, a); at >= 0 {
		return g.keep, at
	}
	return g.canaries, slices.Index(g.canaries, a)
}

// dismiss gives up a replacement that has failed, is lost, out of sight or about to move
// before it is replaced itself: what it stood in for is back.
func (g *group) dismiss(rival *structs.Allocation) {
	found := false
	is := func(a *structs.Allocation) bool {
		found = found || a == rival
		return a == rival
	}
	for _, list := range []*[]*structs.Allocation{&g.lost, &g.migrate, &g.away, &g.now} {
		*list = slices.DeleteFunc(*list, is)
	}
	g.later = slices.DeleteFunc(g.later, func(l delayed) bool { return is(l.alloc) })
	switch {
	case !found:
	case g.run.gone(rival.NodeID) && !rival.ClientTerminal():
		g.run.lose(rival)
		g.desired.Stop++
	default:
		g.stopReconnected(rival)
	}
}

func (g *group) stopReconnected(a *structs.Allocation) {
	g.run.stop(a, structs.DescAllocReconnected)
	g.desired.Stop++
}

// prefersOriginal reports whether the original goes on. A newer version of the
// job always wins.
func (g *group) prefersOriginal(original, replacement *structs.Allocation) bool {
	if o, r := original.JobVersion(), replacement.JobVersion(); o != r {
		return o > r
	}
	if replacement.ClientStatus != structs.AllocClientRunning {
		return true
	}
	how := structs.ReconcileBestScore
	if d := g.tg.Disconnect; d != nil {
		how = structs.ValueOr(d.Reconcile, how)
	}
	switch how {
	case structs.ReconcileKeepOriginal:
		return true
	case structs.ReconcileKeepReplacement:
		return false
	case structs.ReconcileLongestRunning:
		return !started(original).After(started(replacement))
	}
	return nodeScore(original) >= nodeScore(replacement)
}

// started is when the allocation's first task started.
func started(a *structs.Allocation) time.Time {
	var first time.Time
	for _, s := range a.TaskStates {
		if s != nil && !s.StartedAt.IsZero() && (first.IsZero() || s.StartedAt.Before(first)) {
			first = s.StartedAt
		}
	}
	if first.IsZero() {
		return time.Unix(0, a.CreateTime)
	}
	return first
}

// nodeScore is the score with which the allocation's node was chosen.
func nodeScore(a *structs.Allocation) float64 {
	if a.Metrics == nil {
		return 0
	}
	for _, s := range a.Metrics.ScoreMetaData {
		if s.NodeID == a.NodeID {
			return s.NormScore
		}
	}
	return 0
}
