package state

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

func (tx *txn) applyPlans(c *command.ApplyPlans) (any, error) {
	tx.now = c.Now
	result := &PlanResult{Index: tx.Index, Rejected: map[string]string{}, Refused: map[string][]RefusedNode{}}
	for _, p := range c.Plans {
		if p == nil {
			continue
		}
		refused, rejected := tx.applyPlan(p)
		if rejected != "" {
			result.Rejected[p.EvalID] = rejected
		}
		if len(refused) > 0 {
			result.Refused[p.EvalID] = append(result.Refused[p.EvalID], refused...)
		}
	}
	for _, e := range c.Evals {
		if e == nil || result.Rejected[e.ID] != "" || len(result.Refused[e.ID]) > 0 {
			continue // it stays as it was, to be scheduled again
		}
		next := *e
		tx.upsertEval(&next)
	}
	return result, nil
}

// planned is a plan while it is verified and applied.
type planned struct {
	*structs.Plan
	tx       *txn
	key      structs.NamespacedID
	trial    *alloc.Trial
	nodes    map[string]*target
	inPlace  *structs.Job // version that updates in place run
	versions []*structs.Job
	freed    map[string]bool // allocations that the trial counts no longer
}

// target is a node as plans see it.
type target struct {
	node *structs.Node
	ref  *alloc.Node
}

// applyPlan verifies a plan node by node and applies what holds: a node that
// can't take everything the plan puts on it takes nothing. If the job asks for
// all at once and a node refuses, nothing at all is applied.
func (tx *txn) applyPlan(plan *structs.Plan) (refused []RefusedNode, rejected string) {
	p := &planned{
		Plan: plan, tx: tx, key: structs.NamespacedID{Namespace: plan.Namespace, ID: plan.JobID},
		nodes: map[string]*target{}, freed: map[string]bool{},
	}
	if why := p.outdated(); why != "" {
		return nil, why
	}
	p.try()
	for _, id := range p.trial.AllRefused() {
		refused = append(refused, RefusedNode{id, p.trial.Refused(id)})
	}
	if len(refused) > 0 && p.inPlace != nil && structs.Value(p.inPlace.AllAtOnce) {
		return refused, ""
	}
	tx.createDeployment(plan.Deployment)
	tx.applyDeploymentUpdates(plan.DeploymentUpdates)
	for i := range plan.Stops {
		p.stop(&plan.Stops[i])
	}
	for i := range plan.Marks {
		p.mark(&plan.Marks[i])
	}
	p.updateInPlace()
	for i := range plan.Groups {
		p.place(&plan.Groups[i], p.versions[i])
	}
	p.creditPreemptions()
	return refused, ""
}

// outdated says why a plan as a whole can't be applied any more, and finds the
// versions that it runs.
func (p *planned) outdated() string {
	eval := p.tx.Eval(p.EvalID)
	if eval != nil && eval.Terminal() {
		return fmt.Sprintf("evaluation is already %s", eval.Status)
	}
	job := p.tx.Job(p.key)
	if job != nil {
		p.inPlace = p.tx.Versions.Find(p.key.Namespace, p.key.ID, p.JobVersion)
	}
	if len(p.Groups) == 0 && len(p.InPlace) == 0 && p.Deployment == nil {
		return ""
	}
	switch {
	case job == nil:
		return "job is gone"
	case job.Stopped():
		return "job was stopped"
	case p.inPlace == nil:
		return fmt.Sprintf("version %d of the job is gone", p.JobVersion)
	case eval != nil && eval.CreateIndex < job.GetCreateIndex():
		return "job was purged and registered anew"
	case job.GetVersion() > p.JobVersion:
		return fmt.Sprintf("version %d of the job is outdated", p.JobVersion)
	}
	for i := range p.Groups {
		version := structs.ValueOr(p.Groups[i].JobVersion, p.JobVersion)
		j := p.tx.Versions.Find(p.key.Namespace, p.key.ID, version)
		if j == nil {
			return fmt.Sprintf("version %d of the job is gone", version)
		}
		if j.LookupTaskGroup(p.Groups[i].TaskGroup) == nil {
			return fmt.Sprintf("version %d of the job has no group %q", version, p.Groups[i].TaskGroup)
		}
		p.versions = append(p.versions, j)
	}
	return ""
}

// mine reports whether an allocation belongs to the plan's job.
func (p *planned) mine(v alloc.View) bool {
	return v.Valid() && v.Shared().Namespace == p.key.Namespace && v.Shared().JobID == p.key.ID
}

func (p *planned) stop(s *structs.AllocStop) {
	v := p.tx.Allocs.Find(s.AllocID)
	if !p.mine(v) && (!v.Valid() || s.PreemptedBy == "") || v.Valid() && done(v) {
		return
	}
	p.tx.changeRow(v, feed.AllocPlanned, func(r *alloc.Row) {
		d := r.Decision()
		d.Description = s.DesiredDescription
		if s.FollowupEvalID != "" {
			d.Followup = s.FollowupEvalID
		}
		if s.PreemptedBy != "" {
			d.PreemptedBy = s.PreemptedBy
		}
		r.Decided = d
		r.Desired = alloc.Stop
		if desired, ok := alloc.ParseDesired(s.DesiredStatus); ok && desired != alloc.Run {
			r.Desired = desired
		}
		if client, ok := alloc.ParseClient(s.ClientStatus); ok && !r.Client.Terminal() && (client == alloc.Lost || client == alloc.Unknown) {
			r.Client = client
		}
	})
}

// mark notes things on an allocation that stays wanted.
func (p *planned) mark(m *structs.AllocMark) {
	v := p.tx.Allocs.Find(m.AllocID)
	if !p.mine(v) {
		return
	}
	p.tx.changeRow(v, feed.AllocPlanned, func(r *alloc.Row) {
		d := r.Decision()
		if m.DesiredDescription != "" {
			d.Description = m.DesiredDescription
		}
		if m.FollowupEvalID != "" {
			d.Followup = m.FollowupEvalID
		}
		r.Decided = d
		if m.ClientStatus == structs.AllocClientUnknown && !r.Client.Terminal() {
			r.Client = alloc.Unknown
		}
	})
}

// target returns a node as the plan sees it.
func (p *planned) target(id string) *target {
	t := p.nodes[id]
	if t == nil {
		t = &target{node: p.tx.Node(id)}
		if t.node != nil {
			t.ref = p.tx.Allocs.NodeRef(id, t.node.Name)
		}
		p.nodes[id] = t
	}
	return t
}

// try asks of all nodes whether they can take what the plan puts on them.
func (p *planned) try() {
	p.trial = p.tx.Allocs.Trial()
	for i := range p.Stops {
		s := &p.Stops[i]
		if v := p.tx.Allocs.Find(s.AllocID); p.mine(v) || v.Valid() && s.PreemptedBy != "" {
			p.free(v)
		}
	}
	for i := range p.InPlace {
		u := &p.InPlace[i]
		v := p.tx.Allocs.Find(u.AllocID)
		if !p.mine(v) || v.Row().Terminal() {
			continue
		}
		if t := p.target(v.Row().Node.ID); t.node != nil {
			p.trial.Grow(t.node, v.Shared().Ask, askOf(p.newResources(u, v)))
		}
	}
	for i := range p.Groups {
		p.tryGroup(&p.Groups[i], p.versions[i])
	}
}

// free counts an allocation no longer that ends with the plan.
func (p *planned) free(v alloc.View) {
	if p.freed[v.ID()] {
		return
	}
	p.freed[v.ID()] = true
	if t := p.target(v.Row().Node.ID); t.node != nil {
		p.trial.Free(t.node, v)
	}
}

// victim returns an allocation that a row preempts: one of another job on the
// row's node, not ended yet.
func (p *planned) victim(id, nodeID string) (alloc.View, bool) {
	v := p.tx.Allocs.Find(id)
	return v, v.Valid() && !p.mine(v) && v.Row().Node.ID == nodeID && !v.Row().Terminal()
}

func (p *planned) tryGroup(g *structs.PlacementGroup, j *structs.Job) {
	row := alloc.Try{Ask: askOf(g.Resources), Collide: mayCollide(j.LookupTaskGroup(g.TaskGroup))}
	for i := range g.Rows {
		r := &g.Rows[i]
		t := p.target(r.NodeID)
		if why := cmp.Or(unfit(t.node), p.needless(r)); why != "" {
			p.trial.Refuse(r.NodeID, why)
			continue
		}
		for _, id := range r.Preempts {
			if v, ok := p.victim(id, r.NodeID); ok {
				p.free(v)
			}
		}
		row.Placed = nil
		if len(r.Ports)+len(r.Devices)+len(r.Cores) > 0 {
			row.Placed = &alloc.Placed{Ports: r.Ports, Devices: r.Devices, Cores: r.Cores}
		}
		p.trial.Add(t.node, row)
	}
}

// unfit says why a node takes no placements at all.
func unfit(n *structs.Node) string {
	switch {
	case n == nil:
		return "node is gone"
	case n.Status != structs.NodeStatusReady:
		return "node is " + n.Status
	case !n.Ready():
		return "node is not eligible"
	}
	return ""
}

// done reports whether an allocation has done its work, which isn't to be done
// again: it was to be stopped when nobody knew that yet.
func done(v alloc.View) bool {
	job := v.Shared().Job
	return v.Row().Client == alloc.Complete && v.Row().Desired == alloc.Run && job != nil && structs.Ends(job.GetType())
}

// needless says why the allocation that a row stands in for needs no replacement:
// it was out of sight when the plan was made, and it or its node is back; or it has
// done its work meanwhile.
func (p *planned) needless(r *structs.Placement) string {
	if r.PreviousAllocation == "" {
		return ""
	}
	v := p.tx.Allocs.Find(r.PreviousAllocation)
	switch {
	case !p.mine(v):
		return ""
	case done(v) && v.Shared().Job.GetVersion() == p.JobVersion:
		return "the allocation to replace has done its work"
	case v.Row().Terminal(), p.freed[r.PreviousAllocation], v.Row().Decision().Transition.Lasts():
		return ""
	}
	n := p.target(v.Row().Node.ID).node
	away := n == nil || structs.NodeTerminal(n.Status) || n.Status == structs.NodeStatusDisconnected
	if away && (v.Row().Client == alloc.Unknown || p.unseen(r.PreviousAllocation)) {
		return ""
	}
	return "the allocation to replace is back"
}

// unseen reports whether the plan is what tells that an allocation is unknown.
func (p *planned) unseen(id string) bool {
	return slices.ContainsFunc(p.Marks, func(m structs.AllocMark) bool {
		return m.AllocID == id && m.ClientStatus == structs.AllocClientUnknown
	})
}

// askOf returns the sum over resources.
func askOf(r *structs.AllocatedResources) structs.Comparable {
	if r == nil {
		return structs.Comparable{}
	}
	for _, t := range r.Tasks {
		if t == nil {
			return structs.Comparable{CPU: -1} // refused: not resources
		}
	}
	return r.Comparable()
}

// mayCollide tells which ports of a group may be in use by others already.
func mayCollide(g *structs.TaskGroup) func(string) bool {
	var labels []string
	networks := g.Networks
	for _, t := range present(g.Tasks) {
		if t.Resources != nil {
			networks = slices.Concat(networks, t.Resources.Networks)
		}
	}
	for _, n := range present(networks) {
		for _, p := range n.ReservedPorts {
			if p.IgnoreCollision {
				labels = append(labels, p.Label)
			}
		}
	}
	return func(label string) bool { return slices.Contains(labels, label) }
}
