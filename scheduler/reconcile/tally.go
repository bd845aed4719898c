package reconcile

import (
	"iter"

	"github.com/steppe-run/steppe/structs"
)

// Tally counts the plain allocations of a job of which nothing is to be done:
// they run, or have ended, as the job wants it. A job of a million can be decided
// without seeing more of them.
type Tally struct {
	run    run
	groups []*tallied
	last   *tallied // of the allocation before: they come in batches
	job    *structs.Job
	jobIs  bool            // job is the newest version
	at     map[string]bool // nodes on which allocations stay
	node   string          // of the allocation before
	stays  bool            // an allocation on it
}

// tallied is what was counted of a group.
type tallied struct {
	group    *structs.TaskGroup // nil: nothing of it is wanted
	name     string
	seen     bool // an allocation of the newest version, ended or not
	runs     int
	complete int // batch: has done its work
	// notHealthy counts those of the job's latest deployment that runs doesn't
	// know to be healthy.
	notHealthy int
	names      []uint32
	on         []Count // by node, in the order in which nodes were seen
	at         map[string]int
	last       int // of on

	// Of jobs that run on every node:
	nodes  Nodes                // that suit the group
	done   map[string]bool      // nodes on which it has done its work
	past   map[*structs.Job]int // older versions that ended
	within int                  // of runs, in the job's latest deployment
	latest int64                // when the last of those was placed
}

// Count is how many allocations run on a node.
type Count struct {
	NodeID string
	N      int
}

// Begin begins to count for what Compute will be asked, which gives the tally as
// Input.Tally. Of the input it reads all but Allocs and Fits. A tally may be used
// again once the result of Compute isn't needed any more.
func (t *Tally) Begin(in *Input) {
	*t = Tally{run: run{Input: *in, batch: in.Eval.Type == structs.JobTypeBatch}}
}

// Take counts an allocation; it is false for one that Compute must see.
func (t *Tally) Take(p *structs.PlainAlloc) bool {
	g := t.groupOf(p.Group)
	if Unwanted(t.run.Job) {
		return t.ended(p)
	}
	if t.run.Nodes != nil {
		return g.group != nil && t.everywhere(g, p)
	}
	if g.group == nil || !t.newest(p.Job) {
		return false
	}
	switch {
	case p.DesiredStatus != structs.AllocDesiredRun:
		if !structs.ClientTerminal(p.ClientStatus) && t.run.gone(p.NodeID) {
			return false
		}
	case p.ClientStatus == structs.AllocClientComplete:
		if t.run.batch {
			g.complete++
			g.names = append(g.names, p.NameIndex)
		}
	case p.ClientStatus == structs.AllocClientLost:
	case p.ClientStatus != structs.AllocClientPending && p.ClientStatus != structs.AllocClientRunning || !t.staysOn(p.NodeID):
		return false
	default:
		t.runs(g, p)
	}
	g.seen = true
	return true
}

// ended reports whether nothing is left to stop.
func (t *Tally) ended(p *structs.PlainAlloc) bool {
	if p.DesiredStatus != structs.AllocDesiredRun {
		return structs.ClientTerminal(p.ClientStatus) || !t.run.gone(p.NodeID)
	}
	return p.ClientStatus == structs.AllocClientComplete || p.ClientStatus == structs.AllocClientLost
}

// everywhere is Take for a job that runs on every node.
func (t *Tally) everywhere(g *tallied, p *structs.PlainAlloc) bool {
	newest := t.newest(p.Job)
	switch {
	case p.DesiredStatus != structs.AllocDesiredRun:
		if !structs.ClientTerminal(p.ClientStatus) && t.run.gone(p.NodeID) {
			return false
		}
	case p.ClientStatus == structs.AllocClientComplete:
		if newest && t.run.Eval.Type == structs.JobTypeSysBatch {
			if g.done == nil {
				g.done = map[string]bool{}
			}
			g.done[p.NodeID] = true
			g.complete++
		}
	case p.ClientStatus == structs.AllocClientLost:
	case p.ClientStatus != structs.AllocClientPending && p.ClientStatus != structs.AllocClientRunning,
		!newest, !g.nodes.Has(p.NodeID), g.holds(p.NodeID):
		return false
	default:
		t.runs(g, p)
		if d := t.run.Deployment; d != nil && p.DeploymentID == d.ID {
			g.within++
			g.latest = max(g.latest, p.CreateTime)
		}
	}
	if newest {
		g.seen = true
	} else if p.Job != nil {
		if g.past == nil {
			g.past = map[*structs.Job]int{}
		}
		g.past[p.Job]++
	}
	return true
}

// holds reports whether one that was counted holds a node: it runs there, or has
// done its work.
func (g *tallied) holds(node string) bool {
	_, runs := g.at[node]
	return runs || g.done[node]
}

func (t *Tally) runs(g *tallied, p *structs.PlainAlloc) {
	g.runs++
	g.names = append(g.names, p.NameIndex)
	if d := t.run.Deployment; d != nil && p.DeploymentID == d.ID && !p.Healthy {
		g.notHealthy++
	}
	g.count(p.NodeID)
}

func (g *tallied) count(node string) {
	if len(g.on) == 0 || g.on[g.last].NodeID != node {
		i, known := g.at[node]
		if !known {
			i, g.on = len(g.on), append(g.on, Count{NodeID: node})
			if g.at == nil {
				g.at = map[string]int{}
			}
			g.at[node] = i
		}
		g.last = i
	}
	g.on[g.last].N++
}

func (t *Tally) groupOf(name string) *tallied {
	if t.last != nil && t.last.name == name {
		return t.last
	}
	for _, g := range t.groups {
		if g.name == name {
			t.last = g
			return g
		}
	}
	g := &tallied{name: name}
	if !Unwanted(t.run.Job) {
		if tg := t.run.Job.LookupTaskGroup(name); tg != nil && tg.GetCount() > 0 {
			g.group = tg
			if t.run.Nodes != nil {
				g.nodes = t.run.Nodes(t.run.Job, tg)
			}
		}
	}
	t.groups, t.last = append(t.groups, g), g
	return g
}

// newest reports whether a version is the one to run.
func (t *Tally) newest(job *structs.Job) bool {
	if job == nil {
		return false
	}
	if t.job != job {
		t.job, t.jobIs = job, !t.run.old(job)
	}
	return t.jobIs
}

// staysOn reports whether what runs on a node may stay there.
func (t *Tally) staysOn(node string) bool {
	if node == t.node {
		return t.stays
	}
	stays, known := t.at[node]
	if !known {
		if t.at == nil {
			t.at = map[string]bool{}
		}
		stays = !t.run.gone(node) && t.run.node(node).Status != structs.NodeStatusDisconnected
		t.at[node] = stays
	}
	t.node, t.stays = node, stays
	return stays
}

// Suffices reports whether nothing that was counted can be asked for: not if a
// group has too many, since those to stop must be chosen from all. others are the
// allocations that weren't taken.
func (t *Tally) Suffices(others []*structs.Allocation) bool {
	if t.run.Nodes != nil {
		return true // none is more than what its node is to run
	}
	for _, g := range t.groups {
		have := g.runs + g.complete
		if g.group == nil || have == 0 {
			continue
		}
		for _, a := range others {
			if a.TaskGroup == g.name && !a.ServerTerminal() {
				have++
			}
		}
		if have > g.group.GetCount() {
			return false
		}
	}
	return true
}

// Running yields by group and node how many allocations were counted that run.
func (t *Tally) Running() iter.Seq2[string, []Count] {
	return func(yield func(string, []Count) bool) {
		if t == nil {
			return
		}
		for _, g := range t.groups {
			if len(g.on) > 0 && !yield(g.name, g.on) {
				return
			}
		}
	}
}

// names are the groups that have allocations; it may be called on nil.
func (t *Tally) names() (names []string) {
	if t != nil {
		for _, g := range t.groups {
			names = append(names, g.name)
		}
	}
	return names
}

// of returns what was counted of a group, nil if nothing was; it may be called on
// nil.
func (t *Tally) of(group string) *tallied {
	if t != nil {
		for _, g := range t.groups {
			if g.name == group {
				return g
			}
		}
	}
	return nil
}
