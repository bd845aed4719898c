package scheduler_test

import (
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/steppe-run/steppe/scheduler"
	"github.com/steppe-run/steppe/structs"
)

func (w *world) Job(_, id string) *structs.Job { return w.jobs[id] }

func (w *world) Eval(id string) *structs.Evaluation { return w.evals[id] }

func (w *world) Node(id string) *structs.Node { return w.nodes[id] }

func (w *world) NodePool(string) *structs.NodePool { return nil }

func (w *world) JobAllocs(_, id string, take func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for _, a := range w.allocs {
			if a.JobID != id {
				continue
			}
			if p, plain := a.Plain(); plain && take != nil && take(&p) {
				continue
			}
			if !yield(a) {
				return
			}
		}
	}
}

// whole is a world that shows every allocation whole.
type whole struct{ *world }

func (w whole) JobAllocs(namespace, id string, _ func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	return w.world.JobAllocs(namespace, id, nil)
}

func (w *world) AllocsByNode(id string) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for _, a := range w.allocs {
			if a.NodeID == id && !yield(a) {
				return
			}
		}
	}
}

func (w *world) LatestDeployment(_, id string) *structs.Deployment {
	for _, d := range slices.Backward(w.deploys) {
		if d.JobID == id {
			return d
		}
	}
	return nil
}

// eval schedules a job, or an evaluation that an earlier answer named, prints
// the decision and, unless it is only a plan, applies it.
func (w *world) eval(args []string, dry bool) {
	eval := w.last
	if args[0] == "last" && eval == nil {
		fmt.Fprintln(&w.out, "no evaluation followed")
		return
	}
	if args[0] != "last" {
		trigger := structs.TriggerJobRegister
		if len(args) > 1 {
			trigger = args[1]
		}
		eval = &structs.Evaluation{
			ID: w.id("e"), Namespace: "default", JobID: args[0], Type: structs.JobTypeService, Priority: 50, TriggeredBy: trigger,
		}
		if j := w.jobs[args[0]]; j != nil {
			eval.Type = j.GetType()
		}
	}
	d, err := scheduler.Schedule(scheduler.Input{
		View: w, Capacity: w.capacity, Running: w, Config: &w.config, Eval: eval, Now: w.now, Seed: 7, Annotate: dry,
		NewID: func() string { return w.id("e") },
	})
	if err != nil {
		fmt.Fprintf(&w.out, "error: %v\n", err)
		return
	}
	w.index++
	before := len(w.allocs)
	if !dry {
		w.apply(d)
	}
	w.print(d, before, dry)
}

// apply stores a decision as the replicated state would.
func (w *world) apply(d scheduler.Decision) {
	if dep := d.Plan.Deployment; dep != nil {
		at := slices.IndexFunc(w.deploys, func(o *structs.Deployment) bool { return o.ID == dep.ID })
		if at < 0 {
			at, w.deploys = len(w.deploys), append(w.deploys, nil)
			dep.CreateIndex = w.index
		}
		w.deploys[at] = dep
	}
	for _, u := range d.Plan.DeploymentUpdates {
		for _, dep := range w.deploys {
			if dep.ID == u.DeploymentID {
				dep.Status, dep.StatusDescription = u.Status, u.StatusDescription
			}
		}
	}
	for _, s := range d.Plan.Stops {
		a := w.alloc(s.AllocID)
		a.DesiredStatus, a.DesiredDescription, a.ModifyIndex = s.DesiredStatus, s.DesiredDescription, w.index
		if s.ClientStatus != "" {
			a.ClientStatus = s.ClientStatus
		}
		w.capacity.SetAlloc(a)
	}
	for _, m := range d.Plan.Marks {
		a := w.alloc(m.AllocID)
		if m.ClientStatus != "" {
			a.ClientStatus = m.ClientStatus
		}
		a.FollowupEvalID = m.FollowupEvalID
	}
	for _, u := range d.Plan.InPlace {
		a := w.alloc(u.AllocID)
		a.Job = w.jobs[a.JobID]
		if u.DeploymentID != a.DeploymentID {
			a.DeploymentID, a.DeploymentStatus = u.DeploymentID, nil
		}
	}
	for _, g := range d.Plan.Groups {
		for _, row := range g.Rows {
			w.evict(row.Preempts)
			w.start(d.Plan, &g, &row)
		}
	}
	for _, e := range append(d.FollowUps, d.Eval) {
		w.evals[e.ID] = e
	}
	if n := len(d.FollowUps); n > 0 {
		w.last = d.FollowUps[n-1]
	} else if d.Eval.Status == structs.EvalStatusBlocked {
		w.last = d.Eval
	}
}

func (w *world) evict(ids []string) {
	for _, id := range ids {
		a := w.alloc(id)
		a.DesiredStatus, a.DesiredDescription = structs.AllocDesiredEvict, structs.DescAllocPreempted
		w.capacity.SetAlloc(a)
	}
}

func (w *world) start(p *structs.Plan, g *structs.PlacementGroup, row *structs.Placement) {
	res := *g.Resources
	res.Shared.Ports = row.Ports
	res.Tasks = map[string]*structs.AllocatedTaskResources{}
	for name, t := range g.Resources.Tasks {
		task := *t
		task.Devices, task.Cpu.ReservedCores = row.Devices[name], row.Cores[name]
		res.Tasks[name] = &task
	}
	a := &structs.Allocation{
		ID: w.id("a"), Namespace: p.Namespace, JobID: p.JobID, TaskGroup: g.TaskGroup, NodeID: row.NodeID, EvalID: p.EvalID,
		Name: structs.AllocName(p.JobID, g.TaskGroup, row.NameIndex), Job: w.version(p, g), AllocatedResources: &res,
		DesiredStatus: structs.AllocDesiredRun, ClientStatus: structs.AllocClientPending, Metrics: g.Metrics,
		DeploymentID: g.DeploymentID, PreviousAllocation: row.PreviousAllocation, RescheduleTracker: row.Reschedule,
		CreateIndex: w.index, CreateTime: w.now.UnixNano(), ModifyTime: w.now.UnixNano(),
	}
	if row.Metrics != nil {
		a.Metrics = row.Metrics
	}
	if row.Canary {
		a.DeploymentStatus = &structs.AllocDeploymentStatus{Canary: true}
	}
	if row.PreviousAllocation != "" {
		w.alloc(row.PreviousAllocation).NextAllocation = a.ID
	}
	w.allocs = append(w.allocs, a)
	w.capacity.SetAlloc(a)
}

// version finds the version of the job that a group of a plan runs.
func (w *world) version(p *structs.Plan, g *structs.PlacementGroup) *structs.Job {
	want := structs.ValueOr(g.JobVersion, p.JobVersion)
	if j := w.jobs[p.JobID]; j.GetVersion() == want {
		return j
	}
	for _, a := range w.allocs {
		if a.JobID == p.JobID && a.JobVersion() == want {
			return a.Job
		}
	}
	w.t.Fatalf("version %d of job %s is gone", want, p.JobID)
	return nil
}

func (w *world) print(d scheduler.Decision, before int, dry bool) {
	p := func(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }
	for _, u := range d.Plan.DeploymentUpdates {
		p("deployment %s %s: %s", u.DeploymentID, u.Status, u.StatusDescription)
	}
	if dep := d.Plan.Deployment; dep != nil {
		p("deployment %s of version %d: %s", dep.ID, dep.JobVersion, dep.StatusDescription)
		for _, g := range sorted(dep.TaskGroups) {
			s := dep.TaskGroups[g]
			p("  %s: want %d, canaries %d", g, s.DesiredTotal, s.DesiredCanaries)
		}
	}
	for _, s := range d.Plan.Stops {
		a := w.alloc(s.AllocID)
		lost := ""
		if s.ClientStatus != "" {
			lost = " (" + s.ClientStatus + ")"
		}
		p("stop %s %s on %s%s: %s", a.ID, a.Name, a.NodeID, lost, s.DesiredDescription)
	}
	for _, m := range d.Plan.Marks {
		p("mark %s %s follow-up %s", m.AllocID, m.ClientStatus, m.FollowupEvalID)
	}
	for _, u := range d.Plan.InPlace {
		p("update %s %s in place", u.AllocID, w.alloc(u.AllocID).Name)
	}
	for _, g := range d.Plan.Groups {
		for _, row := range g.Rows {
			id := ""
			if !dry {
				id = w.allocs[before].ID + " "
				before++
			}
			p("place %s%s on %s%s", id, structs.AllocName(d.Plan.JobID, g.TaskGroup, row.NameIndex), row.NodeID, details(&g, &row))
		}
	}
	for _, g := range sorted(d.Eval.FailedTGAllocs) {
		w.printFailure(g, d.Eval)
	}
	if d.Eval.Status != structs.EvalStatusComplete {
		p("evaluation %s %s", d.Eval.ID, d.Eval.Status)
	}
	for _, e := range d.FollowUps {
		wait := ""
		if !e.WaitUntil.IsZero() {
			wait = " in " + e.WaitUntil.Sub(w.now).String()
		}
		p("follow-up %s %s %s%s", e.ID, e.Status, e.TriggeredBy, wait)
	}
	if d.Annotations != nil {
		for _, g := range sorted(d.Annotations.DesiredTGUpdates) {
			p("desired %s: %s", g, strings.ReplaceAll(fmt.Sprintf("%+v", *d.Annotations.DesiredTGUpdates[g]), ":", "="))
		}
	}
	if w.out.Len() == 0 {
		p("nothing to do")
	}
}

func (w *world) printFailure(group string, eval *structs.Evaluation) {
	m := eval.FailedTGAllocs[group]
	fmt.Fprintf(&w.out, "no room for %d of %s: %d nodes, %d filtered, %d exhausted", eval.QueuedAllocations[group], group,
		m.NodesEvaluated, m.NodesFiltered, m.NodesExhausted)
	for _, counts := range []map[string]int{m.ConstraintFiltered, m.ClassFiltered, m.DimensionExhausted, m.ClassExhausted} {
		for _, k := range sorted(counts) {
			fmt.Fprintf(&w.out, "; %s: %d", k, counts[k])
		}
	}
	fmt.Fprintln(&w.out)
}

func details(g *structs.PlacementGroup, row *structs.Placement) string {
	var out string
	if row.PreviousAllocation != "" {
		out += " for " + row.PreviousAllocation
	}
	if row.Canary {
		out += " canary"
	}
	if g.DeploymentID != "" {
		out += " in " + g.DeploymentID
	}
	if g.JobVersion != nil {
		out += fmt.Sprintf(" version %d", *g.JobVersion)
	}
	if len(row.Preempts) > 0 {
		out += " instead of " + strings.Join(row.Preempts, ", ")
	}
	if len(row.Cores) > 0 {
		out += fmt.Sprintf(" cores %v of %d MHz", row.Cores["t"], g.Resources.Comparable().CPU)
	}
	for _, d := range row.Devices["t"] {
		out += " " + d.Kind() + ":" + strings.Join(d.DeviceIDs, ",")
	}
	for _, p := range row.Ports {
		out += fmt.Sprintf(" %s=%s:%d", p.Label, p.HostIP, p.Value)
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (w *world) printAllocs(job string) {
	for _, a := range w.allocs {
		if a.JobID == job {
			fmt.Fprintf(&w.out, "%s %s on %s version %d %s %s\n", a.ID, a.Name, a.NodeID, a.JobVersion(), a.DesiredStatus, a.ClientStatus)
		}
	}
}
