package state

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

// violations recounts everything that the store keeps count of and returns
// what is wrong.
func violations(s *Snapshot, swept map[string]structs.TaskGroupSummary) []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	checkNodes(s, wrong)
	checkJobs(s, swept, wrong)
	checkLists(s, wrong)
	checkBlocked(s, wrong)
	checkChildren(s, wrong)
	return out
}

// checkBlocked: at most one evaluation of a job waits for capacity, and none of
// a job that is stopped or gone.
func checkBlocked(s *Snapshot, wrong func(string, ...any)) {
	waiting := map[structs.NamespacedID]string{}
	for e := range s.EvalsByStatus(structs.EvalStatusBlocked) {
		key := e.JobNamespacedID()
		if j := s.Job(e.Namespace, e.JobID); j == nil || j.Stopped() {
			wrong("evaluation %s waits for capacity for job %s, which is stopped or gone", e.ID, e.JobID)
		}
		if other := waiting[key]; other != "" {
			wrong("evaluations %s and %s of job %s both wait for capacity", other, e.ID, e.JobID)
		}
		waiting[key] = e.ID
	}
}

func checkNodes(s *Snapshot, wrong func(string, ...any)) {
	used, ports := map[string]structs.Comparable{}, map[string]map[int]string{}
	for a := range s.Allocs("*", "") {
		if a.TerminalStatus() {
			continue
		}
		sum := used[a.NodeID]
		sum.Add(a.AllocatedResources.Comparable())
		used[a.NodeID] = sum
		if ports[a.NodeID] == nil {
			ports[a.NodeID] = map[int]string{}
		}
		for _, p := range a.AllocatedResources.Shared.Ports {
			if other := ports[a.NodeID][p.Value]; other != "" {
				wrong("port %d of node %s is held by %s and %s", p.Value, a.NodeID, other, a.ID)
			}
			ports[a.NodeID][p.Value] = a.ID
		}
	}
	for id, sum := range used {
		if kept := s.NodeUsage(id); kept != sum {
			wrong("usage of node %s is kept as %+v and is %+v", id, kept, sum)
		}
		if u := s.t.Allocs.Use(id); u.Live != len(slices.Collect(keep(s.AllocsByNode(id), func(a *structs.Allocation) bool { return !a.TerminalStatus() }))) {
			wrong("node %s counts %d live allocations", id, u.Live)
		}
		n := s.Node(id)
		if n == nil {
			continue
		}
		if dimension := sum.Exceeds(n.Comparable()); dimension != "" {
			wrong("node %s is overcommitted in %s: %+v", id, dimension, sum)
		}
	}
}

func checkJobs(s *Snapshot, swept map[string]structs.TaskGroupSummary, wrong func(string, ...any)) {
	want := map[structs.NamespacedID]*tables.JobStats{}
	at := func(ns, id string) *tables.JobStats {
		key := structs.NamespacedID{Namespace: ns, ID: id}
		if want[key] == nil {
			want[key] = &tables.JobStats{}
		}
		return want[key]
	}
	for e := range s.Evals("*", "") {
		at(e.Namespace, e.JobID).Evals++
		if !e.Terminal() {
			at(e.Namespace, e.JobID).LiveEvals++
		}
	}
	for d := range s.ActiveDeployments() {
		at(d.Namespace, d.JobID).LiveDeployments++
	}
	summaries := map[string]structs.TaskGroupSummary{}
	for id, counts := range swept {
		summaries[id] = counts
	}
	for a := range s.Allocs("*", "") {
		if !a.TerminalStatus() {
			at(a.Namespace, a.JobID).LiveAllocs++
		}
		if j := s.Job(a.Namespace, a.JobID); j == nil || j.GetCreateIndex() != a.Job.GetCreateIndex() {
			continue
		}
		counts := summaries[a.JobID]
		*map[string]*int{
			"pending": &counts.Starting, "running": &counts.Running, "complete": &counts.Complete,
			"failed": &counts.Failed, "lost": &counts.Lost, "unknown": &counts.Unknown,
		}[a.ClientStatus]++
		summaries[a.JobID] = counts
	}
	for i := range s.t.Stats.All() {
		if diff := cmp.Diff(at(i.A, i.B), i.V); diff != "" {
			wrong("counts of job %s (-is +kept): %s", i.B, diff)
		}
	}
	for key, stats := range want {
		if s.t.Stats.Find(key.Namespace, key.ID, 0) == nil && *stats != (tables.JobStats{}) {
			wrong("counts of job %s are not kept: %+v", key.ID, stats)
		}
	}
	for j := range s.Jobs("*", "") {
		kept := s.JobSummary(j.GetNamespace(), j.GetID())
		if kept == nil {
			wrong("job %s has no summary", j.GetID())
			continue
		}
		counts := kept.Summary["web"]
		counts.Queued = 0
		if diff := cmp.Diff(summaries[j.GetID()], counts); diff != "" {
			wrong("summary of job %s (-is +kept): %s", j.GetID(), diff)
		}
		stats := at(j.GetNamespace(), j.GetID())
		if got, want := j.GetStatus(), deriveStatus(j, stats, false); got != want && (want != "pending" || got != "dead") {
			wrong("status of job %s is kept as %s and is %s", j.GetID(), got, want)
		}
		if v := s.JobVersion(j.GetNamespace(), j.GetID(), j.GetVersion()); v != j {
			wrong("version %d of job %s is not the job", j.GetVersion(), j.GetID())
		}
	}
}

// checkLists walks every list and finds every object again by its ID.
func checkLists(s *Snapshot, wrong func(string, ...any)) {
	byNode, byJob, byEval, byDeployment, all := 0, 0, 0, 0, 0
	nodes, jobs, evals, deployments := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	inDeployment := 0
	for a := range s.Allocs("*", "") {
		all++
		nodes[a.NodeID], jobs[a.JobID], evals[a.EvalID] = true, true, true
		if a.DeploymentID != "" {
			deployments[a.DeploymentID] = true
			inDeployment++
		}
		if diff := cmp.Diff(a, s.Alloc(a.ID)); diff != "" {
			wrong("allocation %s isn't found by its ID: %s", a.ID, diff)
		}
		plain, isPlain := a.Plain()
		if p, is := s.AllocView(a.ID).Plain(); is != isPlain || is && p != plain {
			wrong("allocation %s is plain: %t, %+v; its row says %t, %+v", a.ID, isPlain, plain, is, p)
		}
		if !ids.Valid(a.ID) {
			wrong("allocation ID %q", a.ID)
		}
	}
	for id := range nodes {
		byNode += len(slices.Collect(s.AllocsByNode(id)))
	}
	for id := range jobs {
		byJob += len(slices.Collect(s.AllocsByJob("default", id)))
	}
	for id := range evals {
		byEval += len(slices.Collect(s.AllocsByEval(id)))
	}
	for id := range deployments {
		byDeployment += len(slices.Collect(s.AllocsByDeployment(id)))
	}
	if byNode != all || byJob != all || byEval != all || byDeployment != inDeployment || s.AllocCount() != all {
		wrong("%d allocations (%d in deployments), %d counted, by node %d, by job %d, by evaluation %d, by deployment %d",
			all, inDeployment, s.AllocCount(), byNode, byJob, byEval, byDeployment)
	}
	for e := range s.Evals("*", "") {
		if !slices.Contains(slices.Collect(s.EvalsByJob(e.Namespace, e.JobID)), e) {
			wrong("evaluation %s is not in its job's list", e.ID)
		}
	}
	for d := range s.Deployments("*", "") {
		if !slices.Contains(slices.Collect(s.DeploymentsByJob(d.Namespace, d.JobID)), d) {
			wrong("deployment %s is not in its job's list", d.ID)
		}
	}
	for r := range s.Services("*") {
		if s.Service(r.Namespace, r.ID) != r || !slices.Contains(slices.Collect(s.ServicesByAlloc(r.AllocID)), r) ||
			!slices.Contains(slices.Collect(s.ServicesByNode(r.NodeID)), r) {
			wrong("service %s is not in all lists", r.ID)
		}
	}
	if s.t.Services.Len() != s.t.ServicesByName.Len() || s.t.Services.Len() != s.t.ServicesByAlloc.Len() || s.t.Services.Len() != s.t.ServicesByNode.Len() {
		wrong("lists of services have different lengths")
	}
	if s.t.Evals.Len() != s.t.EvalsByJob.Len() || s.t.Deployments.Len() != s.t.DeploymentsByJob.Len() {
		wrong("lists of evaluations or deployments have different lengths")
	}
}

// restored returns a store that was restored from what s persists.
func restored(s *Snapshot) (*Store, error) {
	var data bytes.Buffer
	if err := s.Persist(&data); err != nil {
		return nil, err
	}
	other := New(Options{})
	return other, other.Restore(&data)
}

// replica follows a store by its feed alone.
type replica map[string]any

func (r replica) follow(c *feed.Change) error {
	for i := range c.Events {
		e := &c.Events[i]
		if e.Kind() == feed.JobVersionRemoved { // has the key of its job
			continue
		}
		key := e.Topic() + "/" + e.Namespace() + "/" + e.Key()
		old, ok := r[key]
		if (e.Old() != nil) != ok && (e.Table() != feed.TableAllocs || e.New() == nil) {
			return fmt.Errorf("change %d, event %d: %s has an old object: %v, known before: %v", c.Index, i, key, e.Old() != nil, ok)
		}
		if diff := cmp.Diff(old, e.Old()); ok && e.Table() != feed.TableAllocs && e.Table() != feed.TableJobs && diff != "" {
			return fmt.Errorf("change %d, event %d: old %s: %s", c.Index, i, key, diff)
		}
		if e.New() == nil {
			delete(r, key)
		} else {
			r[key] = e.New()
		}
	}
	return nil
}

// same compares what the feed told with what there is.
func (r replica) same(s *Snapshot) string {
	want := replica{}
	for a := range s.Allocs("*", "") {
		want["Allocation/"+a.Namespace+"/"+a.ID] = a
	}
	for n := range s.Nodes("") {
		want["Node//"+n.ID] = n
	}
	for e := range s.Evals("*", "") {
		want["Evaluation/"+e.Namespace+"/"+e.ID] = e
	}
	for d := range s.Deployments("*", "") {
		want["Deployment/"+d.Namespace+"/"+d.ID] = d
	}
	for v := range s.Services("*") {
		want["Service/"+v.Namespace+"/"+v.ID] = v
	}
	got := replica{}
	for key, v := range r {
		switch v.(type) {
		case *structs.Job, *structs.NodePool: // a job's status changes without an event
		default:
			got[key] = v
		}
	}
	return cmp.Diff(want, got)
}
