package reconcile

import (
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// group is the state of one group's computation. Each allocation is in at most
// one of its lists.
type group struct {
	run        *run
	tg         *structs.TaskGroup
	name       string
	desired    *structs.DesiredUpdates
	hasCurrent bool // an allocation of this version exists, ended or not
	tallied    tallied

	heirs       map[string]*structs.Allocation // by what they stand in for
	keep        []*structs.Allocation          // goes on, unless it is to be updated
	complete    []*structs.Allocation          // batch: has done its work
	canaries    []*structs.Allocation          // wait for promotion
	lost        []*structs.Allocation          // its node is down
	migrate     []*structs.Allocation          // is to move to another node
	beside      []*structs.Allocation          // is to move, and waits for its replacement
	away        []*structs.Allocation          // its node is silent: replaced, but not stopped
	reconnected []*structs.Allocation          // came back after it was replaced
	now         []*structs.Allocation          // failed, is replaced
	later       []delayed                      // failed, will be replaced
	owed        []*structs.Allocation          // went, and had no room elsewhere

	destructive []*structs.Allocation // of keep, must be replaced to be updated
	curable     []delayed             // of later, this version may cure it
	state       *structs.DeploymentState
	canarying   bool //  nothing of the old version changes until promotion
	placing     int  // placements of this version so far
	moved       int  // updates in place
	names       names

	disconnectWindow window
}

// group computes one group that the job wants.
func (r *run) group(tg *structs.TaskGroup, allocs []*structs.Allocation) {
	g := &group{run: r, tg: tg, name: tg.GetName(), desired: r.desired(tg.GetName())}
	if counted := r.Tally.of(g.name); counted != nil {
		g.tallied, g.hasCurrent = *counted, counted.seen
	}
	g.classify(allocs)
	g.reconnect()
	g.trim()
	changed := g.update()
	g.deployment(changed)
	g.cure()
	g.nameAll()
	g.canary()
	g.replace()
	g.delay()
	g.fill()
	g.roll()
}

// total counts what stands for the group's count, canaries aside.
func (g *group) total() int {
	return g.tallied.runs + g.tallied.complete + len(g.keep) + len(g.complete) + len(g.lost) + len(g.migrate) + len(g.beside) + len(g.away) + len(g.now) + len(g.later) -
		len(g.movingCanaries())
}

// movingCanaries lists the canaries that are being replaced.
func (g *group) movingCanaries() []*structs.Allocation {
	var out []*structs.Allocation
	for _, list := range [][]*structs.Allocation{g.lost, g.migrate, g.beside, g.away, g.now} {
		for _, a := range list {
			if g.isCanary(a) {
				out = append(out, a)
			}
		}
	}
	for _, l := range g.later {
		if g.isCanary(l.alloc) {
			out = append(out, l.alloc)
		}
	}
	return out
}

// trim stops what is more than the group's count: what is broken first, then
// the highest indexes.
func (g *group) trim() {
	excess := g.total() - g.tg.GetCount()
	if excess <= 0 {
		return
	}
	g.lost = g.drop(&excess, g.lost, func(a *structs.Allocation) { g.run.lose(a) })
	g.now = g.drop(&excess, g.now, g.unneeded)
	var failed []*structs.Allocation
	for _, l := range g.later {
		failed = append(failed, l.alloc)
	}
	kept := g.drop(&excess, failed, g.unneeded)
	g.later = slices.DeleteFunc(g.later, func(l delayed) bool { return !slices.Contains(kept, l.alloc) })
	g.migrate = g.drop(&excess, g.migrate, g.unneeded)
	g.away = g.drop(&excess, g.away, g.unneeded)
	served := min(excess, g.promoted())
	excess -= served
	g.beside = g.drop(&served, g.beside, g.unneeded)
	excess += served
	byWorth := g.byWorth()
	g.keep = g.drop(&excess, byWorth, g.unneeded)
	g.beside = g.drop(&excess, g.beside, g.unneeded) // what replaces the others may not serve yet
	slices.SortFunc(g.keep, byName)
}

func (g *group) unneeded(a *structs.Allocation) { g.run.stop(a, structs.DescAllocNotNeeded) }

// drop takes up to *excess allocations off the end of a list and stops them;
// canaries are not counted and stay.
func (g *group) drop(excess *int, list []*structs.Allocation, stop func(*structs.Allocation)) []*structs.Allocation {
	var kept []*structs.Allocation
	for i := len(list) - 1; i >= 0; i-- {
		if *excess <= 0 || g.isCanary(list[i]) {
			kept = append(kept, list[i])
			continue
		}
		stop(list[i])
		g.desired.Stop++
		*excess--
	}
	slices.Reverse(kept)
	return kept
}

// promoted counts the kept allocations that serve for what a promotion replaces.
func (g *group) promoted() int {
	n := 0
	for _, a := range g.keep {
		if g.serves(a) {
			n++
		}
	}
	return n
}

// serves reports whether an allocation is healthy in a deployment whose canaries were
// promoted: it takes the place of one of an older version.
func (g *group) serves(a *structs.Allocation) bool {
	if g.run.current == nil || a.DeploymentID != g.run.current.ID || a.ClientTerminal() || !a.DeploymentStatus.IsHealthy() {
		return false
	}
	state := g.run.current.TaskGroups[g.name]
	return state != nil && state.DesiredCanaries > 0 && state.Promoted
}

// byWorth orders the kept allocations, the first to go last: those that ended,
// those whose name another one bears with more right, then by index; at the very last
// what serves for what a promotion replaces.
func (g *group) byWorth() []*structs.Allocation {
	heir := map[uint32]*structs.Allocation{}
	for _, a := range g.keep {
		if b := heir[a.Index()]; b == nil || moreRight(a, b) {
			heir[a.Index()] = a
		}
	}
	worth := func(a *structs.Allocation) int {
		switch {
		case a.ClientTerminal():
			return 0
		case heir[a.Index()] != a:
			return 1
		case g.serves(a):
			return 3
		}
		return 2
	}
	out := slices.Clone(g.keep)
	slices.SortStableFunc(out, func(a, b *structs.Allocation) int {
		if wa, wb := worth(a), worth(b); wa != wb {
			return wb - wa
		}
		return byName(a, b)
	})
	return out
}

// moreRight reports whether a has more right to a name than b: what runs
// before what ended, the newer version, what is healthy.
func moreRight(a, b *structs.Allocation) bool {
	if x, y := a.ClientTerminal(), b.ClientTerminal(); x != y {
		return y
	}
	if v, w := a.JobVersion(), b.JobVersion(); v != w {
		return v > w
	}
	return a.DeploymentStatus.IsHealthy() && !b.DeploymentStatus.IsHealthy()
}

// update moves outdated allocations to the newest version where they run, and
// sorts out those that must be replaced. It reports whether anything changes.
func (g *group) update() bool {
	kept := g.keep
	g.keep = nil
	for _, a := range kept {
		switch {
		case !g.run.outdated(a):
			g.keep = append(g.keep, a)
			g.desired.Ignore++
		case a.ClientTerminal() || g.run.destructive(a, g.tg):
			g.destructive = append(g.destructive, a) // what has ended starts anew
		default:
			g.keep = append(g.keep, a)
			g.run.out.InPlace = append(g.run.out.InPlace, structs.AllocInPlace{AllocID: a.ID})
			g.desired.InPlaceUpdate++
			g.moved++
		}
	}
	g.desired.Ignore += uint64(len(g.canaries))
	g.later = slices.DeleteFunc(g.later, func(l delayed) bool {
		cure := g.run.outdated(l.alloc) && g.run.destructive(l.alloc, g.tg)
		if cure {
			g.curable = append(g.curable, l)
		}
		return cure
	})
	g.desired.Ignore += uint64(len(g.complete) + g.tallied.runs + g.tallied.complete)
	return g.moved+len(g.destructive)+len(g.curable) > 0
}

// cure has a failed allocation that waits replaced at once by a version that may
// cure it; while the version may not roll out it waits for its time.
func (g *group) cure() {
	if g.canarying || g.held() {
		g.later = append(g.later, g.curable...)
		return
	}
	for _, l := range g.curable {
		g.destructive = append(g.destructive, l.alloc)
	}
}

// deployment finds the group's part of the deployment.
func (g *group) deployment(changed bool) {
	size := Total{Allocs: g.tg.GetCount()}
	if u := g.run.strategy(g.tg); u != nil && (len(g.destructive)+len(g.curable) > 0 || g.servesOld()) {
		size.Canaries = structs.Value(u.Canary)
	}
	g.join(changed, size)
}

// servesOld reports whether an older version, other tasks, goes on where it is to move
// until it is replaced.
func (g *group) servesOld() bool {
	return slices.ContainsFunc(g.beside, func(a *structs.Allocation) bool {
		return g.run.outdated(a) && g.run.changed(a, g.tg)
	})
}

// join makes the group a part of the deployment, and tells the in-place updates
// of it.
func (g *group) join(changed bool, size Total) {
	g.state = g.deploy(changed, size)
	g.canarying = g.state != nil && g.state.DesiredCanaries > 0 && !g.state.Promoted && !g.run.failed
	id := g.deploymentID()
	if id == "" {
		return
	}
	if len(g.run.out.InPlace) == 0 {
		return
	}
	mine := map[string]bool{}
	for _, a := range g.keep {
		mine[a.ID] = true
	}
	for i := range g.run.out.InPlace {
		if u := &g.run.out.InPlace[i]; mine[u.AllocID] {
			u.DeploymentID = id
		}
	}
}

// deploymentID is the deployment that new allocations of the group belong to.
func (g *group) deploymentID() string {
	if d := g.run.active(); d != nil && d.TaskGroups[g.name] != nil {
		return d.ID
	}
	return ""
}

// held reports whether the newest version may not roll out further: the
// deployment failed or is paused. What was lost is replaced all the same.
func (g *group) held() bool { return g.state != nil && (g.run.failed || g.run.paused) }

// canary places the canaries that are missing.
func (g *group) canary() {
	if !g.canarying || g.held() {
		return
	}
	have := slices.Concat(g.canaries, g.movingCanaries())
	for _, index := range g.canaryNames(have, g.state.DesiredCanaries-len(have)) {
		g.run.out.Places = append(g.run.out.Places, Place{
			Group: g.tg, Job: g.run.Job, NameIndex: index, Canary: true, DeploymentID: g.deploymentID(),
		})
		g.desired.Canary++
	}
}

// canaryNames returns names for n more canaries: of allocations that they will
// take over from, then names that nobody has.
func (g *group) canaryNames(have []*structs.Allocation, n int) []uint32 {
	taken := map[uint32]bool{}
	for _, a := range have {
		taken[a.Index()] = true
	}
	var out []uint32
	old := slices.Concat(g.destructive, g.lost, g.migrate, g.beside, g.away, g.now)
	for _, l := range slices.Concat(g.curable, g.later) {
		old = append(old, l.alloc)
	}
	old = slices.DeleteFunc(old, func(a *structs.Allocation) bool { return !g.run.outdated(a) })
	slices.SortFunc(old, byName)
	for _, a := range old {
		if i := a.Index(); len(out) < n && !taken[i] {
			out, taken[i] = append(out, i), true
		}
	}
	for i := uint32(0); len(out) < n; i++ {
		if !taken[i] && !g.names.has(i) {
			out = append(out, i)
		}
	}
	return out
}
