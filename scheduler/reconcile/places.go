package reconcile

import (
	"cmp"
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// replace places successors of what was lost, is to move, or failed. They keep
// the names.
func (g *group) replace() {
	for _, a := range g.lost {
		g.run.lose(a)
		g.desired.Stop++
		g.desired.Place++
		g.successor(a, Place{Reschedule: a.RescheduleTracker})
	}
	for _, a := range g.migrate {
		g.run.stop(a, structs.DescAllocMigrating)
		g.desired.Migrate++
		if structs.Value(a.DesiredTransition.MigrateDisablePlacement) {
			continue
		}
		p := Place{Reschedule: a.RescheduleTracker, Prefer: g.data(a)}
		if structs.Value(a.DesiredTransition.ForceReschedule) { // asked to go elsewhere
			p = Place{Reschedule: g.run.tracker(a, g.tg.ReschedulePolicy), Penalized: penalized(a)}
			g.desired.RescheduleNow++
		}
		g.successor(a, p)
	}
	for _, a := range slices.Concat(g.beside, g.away) {
		g.desired.Place++
		g.successor(a, Place{Reschedule: a.RescheduleTracker})
	}
	for _, a := range g.now {
		g.desired.RescheduleNow++
		g.desired.Place++
		g.successor(a, Place{
			Stop: &structs.AllocStop{
				AllocID: a.ID, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: structs.DescAllocRescheduled,
			},
			Reschedule: g.run.tracker(a, g.tg.ReschedulePolicy),
			Penalized:  penalized(a),
		})
	}
}

// data returns the node that has an allocation's data, if its successor wants
// it and can still reach it there.
func (g *group) data(a *structs.Allocation) string {
	disk := g.tg.EphemeralDisk
	if disk == nil || !structs.Value(disk.Sticky) && !structs.Value(disk.Migrate) {
		return ""
	}
	return a.NodeID
}

// successor places p in the place of a.
func (g *group) successor(a *structs.Allocation, p Place) {
	p.Group, p.Job, p.Previous = g.tg, g.run.Job, a
	p.Canary = g.isCanary(a)
	if p.NameIndex = a.Index(); !p.Canary {
		p.NameIndex = g.names.inherit(a.Index())
	}
	if old := g.version(a); !p.Canary && old != nil {
		p.Job = old
		p.Group = old.LookupTaskGroup(g.name)
	} else {
		p.DeploymentID = g.deploymentID()
		g.placing++
	}
	g.run.out.Places = append(g.run.out.Places, p)
}

// version returns the older version that a successor must run, nil for the
// newest: what is lost while canaries wait, or after the deployment failed, is
// no reason to roll the new version out further. Where both versions run the same
// tasks, the newest is what its predecessor would be by now.
func (g *group) version(a *structs.Allocation) *structs.Job {
	if !g.canarying && !g.held() || !g.placeable(a.Job) || !g.run.changed(a, g.tg) {
		return nil
	}
	return a.Job
}

// placeable reports whether an older version has the group and is surely kept: it
// isn't of a job of the same name that was purged.
func (g *group) placeable(job *structs.Job) bool {
	newest := g.run.Job
	return job != nil && job.GetCreateIndex() == newest.GetCreateIndex() && job.GetVersion() < newest.GetVersion() &&
		newest.GetVersion()-job.GetVersion() < structs.JobTrackedVersions && job.LookupTaskGroup(g.name) != nil
}

// fill places what is missing up to the group's count, under the lowest free
// names.
func (g *group) fill() {
	place := Place{Group: g.tg, Job: g.run.Job, DeploymentID: g.deploymentID()}
	count := g.tg.GetCount()
	if g.canarying || g.held() {
		// What an older version lost when there was no room for a successor is
		// owed all the same. What failed without being an update stays owed, too.
		old := g.newestOld()
		switch {
		case old != nil:
			place = Place{Group: old.LookupTaskGroup(g.name), Job: old}
			count = min(count, place.Group.GetCount())
		case g.canarying || g.run.paused:
			return
		}
	}
	missing := count - g.total() - len(g.destructive)
	if missing <= 0 {
		return
	}
	g.desired.Place += uint64(missing)
	if place.Job == g.run.Job {
		g.placing += missing
	}
	if most := g.run.Most; most > 0 && missing > most {
		if g.run.out.Unlisted == nil {
			g.run.out.Unlisted = map[string]int{}
		}
		g.run.out.Unlisted[g.name] = missing - most
		missing = most
	}
	g.run.out.Places = slices.Grow(g.run.out.Places, missing)
	g.names.grow(missing)
	for range missing {
		place.NameIndex = g.names.free()
		g.run.out.Places = append(g.run.out.Places, place)
	}
}

// newestOld returns the newest version among those of the outdated allocations that
// can be run, be they about to be replaced, or gone without a successor; nil if there
// is none. Where nothing of an older version is left what is gone counts only until as
// many run as that version asked for.
func (g *group) newestOld() *structs.Job {
	left := slices.Concat(g.destructive, g.lost, g.migrate, g.beside, g.away, g.now)
	for _, l := range g.later {
		left = append(left, l.alloc)
	}
	old := g.newest(left, nil)
	if g.state.DesiredCanaries == 0 || g.state.Promoted { // the newest has begun to take their places
		return old
	}
	gone := g.newest(g.owed, old)
	if old == nil && gone != nil && g.total() >= gone.LookupTaskGroup(g.name).GetCount() {
		return nil
	}
	return gone
}

// newest returns the newest of a version and those of the outdated allocations in a list
// that can be run.
func (g *group) newest(list []*structs.Allocation, old *structs.Job) *structs.Job {
	for _, a := range list {
		if v := g.version(a); v != nil && (old == nil || v.GetVersion() > old.GetVersion()) {
			old = v
		}
	}
	return old
}

// roll replaces outdated allocations, as many as the deployment allows: what
// ended first, then by name.
func (g *group) roll() {
	slices.SortStableFunc(g.destructive, func(a, b *structs.Allocation) int {
		if x, y := a.ClientTerminal(), b.ClientTerminal(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Index(), b.Index())
	})
	limit := g.limit()
	for i, a := range g.destructive {
		if i >= limit {
			g.desired.Ignore += uint64(len(g.destructive) - i)
			return
		}
		g.desired.DestructiveUpdate++
		g.successor(a, Place{
			Stop: &structs.AllocStop{
				AllocID: a.ID, DesiredStatus: structs.AllocDesiredStop, DesiredDescription: structs.DescAllocUpdating,
			},
			Prefer: g.data(a),
		})
	}
}

// limit is how many allocations may be replaced now: max_parallel less those
// of this version that are not healthy yet.
func (g *group) limit() int {
	u := g.run.strategy(g.tg)
	switch {
	case g.canarying || g.held():
		return 0
	case u == nil || g.deploymentID() == "":
		return len(g.destructive)
	}
	limit := structs.Value(u.MaxParallel) - g.placing - g.moved
	id := g.deploymentID()
	if g.run.Deployment != nil && id == g.run.Deployment.ID {
		limit -= g.tallied.notHealthy
	}
	for _, a := range g.keep {
		if a.DeploymentID == id && !a.DeploymentStatus.IsHealthy() {
			limit--
		}
	}
	for _, l := range g.later {
		if l.alloc.DeploymentID == id {
			limit--
		}
	}
	return max(limit, 0)
}
