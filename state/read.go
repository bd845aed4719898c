package state

import (
	"io"
	"iter"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/state/tables"
	"github.com/steppe-run/steppe/structs"
)

// Snapshot is the state at one index. It never changes. What it returns is nil
// if absent and must not be modified.
type Snapshot struct{ t *tables.Tables }

// Index returns the index of the last entry applied.
func (s *Snapshot) Index() uint64 { return s.t.Index }

// TableIndex returns the index of the last entry that changed one of the
// tables, at least 1 so that a blocking query can wait for the first one.
func (s *Snapshot) TableIndex(tables ...feed.Table) uint64 {
	last := uint64(1)
	for _, t := range tables {
		last = max(last, s.t.Modified[t])
	}
	return last
}

// Persist writes the state, versioned and checksummed.
func (s *Snapshot) Persist(w io.Writer) error { return tables.Persist(w, s.t) }

// StateHash returns a hash over the content: equal on all servers at an index.
func (s *Snapshot) StateHash() [32]byte { return tables.Hash(s.t) }

// Job returns a job's current version.
func (s *Snapshot) Job(namespace, id string) *structs.Job { return s.t.Jobs.Find(namespace, id, 0) }

// JobVersion returns one version of a job.
func (s *Snapshot) JobVersion(namespace, id string, version uint64) *structs.Job {
	return s.t.Versions.Find(namespace, id, version)
}

// JobVersionByTag returns the version of a job that carries a tag.
func (s *Snapshot) JobVersionByTag(namespace, id, tag string) *structs.Job {
	for j := range s.t.Versions.Under(namespace, id) {
		if j.VersionTag != nil && j.VersionTag.Name == tag {
			return j
		}
	}
	return nil
}

// JobHasTag tells whether a version of a job carries a tag.
func (s *Snapshot) JobHasTag(namespace, id string) bool {
	return s.t.HasTag(structs.NamespacedID{Namespace: namespace, ID: id})
}

// JobVersions returns the versions that are kept of a job, newest first.
func (s *Snapshot) JobVersions(namespace, id string) []*structs.Job {
	return s.t.JobVersions(structs.NamespacedID{Namespace: namespace, ID: id})
}

// Jobs returns the jobs of a namespace ("*": of all) whose ID has a prefix, in
// the order of namespace and ID.
func (s *Snapshot) Jobs(namespace, prefix string) iter.Seq[*structs.Job] {
	return s.t.Jobs.Prefixed(namespace, prefix)
}

// JobsFor returns the jobs that run on every node and want one on this node, as
// far as its pool and datacenter say.
func (s *Snapshot) JobsFor(n *structs.Node) iter.Seq[*structs.Job] { return s.t.JobsFor(n) }

// JobChildren returns the jobs that a periodic or parameterized job has made.
func (s *Snapshot) JobChildren(namespace, parentID string) iter.Seq[*structs.Job] {
	return s.t.ChildrenOf(structs.NamespacedID{Namespace: namespace, ID: parentID})
}

// LaunchedUntil is how far the launches of a periodic job are settled, in unix
// seconds; 0 if there was none.
func (s *Snapshot) LaunchedUntil(namespace, id string) int64 {
	if l := s.t.Launches.Find(namespace, id, 0); l != nil {
		return l.Until
	}
	return 0
}

// JobSummary returns the counts of a job's allocations.
func (s *Snapshot) JobSummary(namespace, id string) *structs.JobSummary {
	return s.t.Summaries.Find(namespace, id, 0)
}

// JobSubmission returns the source that a job version was registered from.
func (s *Snapshot) JobSubmission(namespace, id string, version uint64) *structs.JobSubmission {
	return s.t.Submissions.Find(namespace, id, version)
}

// ScalingEvents returns the last scaling events of a job by group, newest
// first.
func (s *Snapshot) ScalingEvents(namespace, id string) map[string][]*structs.ScalingEvent {
	if log := s.t.Scaling.Find(namespace, id, 0); log != nil {
		return log.Groups
	}
	return nil
}

// Node returns a node.
func (s *Snapshot) Node(id string) *structs.Node { return s.t.Node(id) }

// Nodes returns the nodes whose ID has a prefix, in the order of IDs.
func (s *Snapshot) Nodes(prefix string) iter.Seq[*structs.Node] {
	return s.t.Nodes.Prefixed("", prefix)
}

// NodesByPool returns the nodes of a pool; every node is in "all".
func (s *Snapshot) NodesByPool(pool string) iter.Seq[*structs.Node] {
	return keep(s.t.Nodes.Values(), func(n *structs.Node) bool { return n.InPool(pool) })
}

// NodeCount returns how many nodes there are.
func (s *Snapshot) NodeCount() int { return s.t.Nodes.Len() }

// Eval returns an evaluation.
func (s *Snapshot) Eval(id string) *structs.Evaluation { return s.t.Eval(id) }

// Evals returns the evaluations of a namespace ("*": of all) whose ID has a
// prefix, in the order of IDs.
func (s *Snapshot) Evals(namespace, prefix string) iter.Seq[*structs.Evaluation] {
	return keep(s.t.Evals.Prefixed("", prefix), func(e *structs.Evaluation) bool { return inNamespace(e.Namespace, namespace) })
}

// EvalsByJob returns a job's evaluations, in the order of creation.
func (s *Snapshot) EvalsByJob(namespace, id string) iter.Seq[*structs.Evaluation] {
	return s.t.EvalsByJob.Under(namespace, id)
}

// EvalsByStatus returns the evaluations of a status, in the order of IDs. It
// looks at all evaluations.
func (s *Snapshot) EvalsByStatus(status string) iter.Seq[*structs.Evaluation] {
	return keep(s.t.Evals.Values(), func(e *structs.Evaluation) bool { return e.Status == status })
}

// Deployment returns a deployment.
func (s *Snapshot) Deployment(id string) *structs.Deployment { return s.t.Deployment(id) }

// Deployments returns the deployments of a namespace ("*": of all) whose ID
// has a prefix, in the order of IDs.
func (s *Snapshot) Deployments(namespace, prefix string) iter.Seq[*structs.Deployment] {
	return keep(s.t.Deployments.Prefixed("", prefix), func(d *structs.Deployment) bool { return inNamespace(d.Namespace, namespace) })
}

// DeploymentsByJob returns a job's deployments, in the order of creation.
func (s *Snapshot) DeploymentsByJob(namespace, id string) iter.Seq[*structs.Deployment] {
	return s.t.DeploymentsByJob.Under(namespace, id)
}

// LatestDeployment returns a job's newest deployment.
func (s *Snapshot) LatestDeployment(namespace, id string) *structs.Deployment {
	for i := range s.t.DeploymentsByJob.Down(tables.Item[structs.Deployment]{A: namespace, B: id, N: ^uint64(0)}) {
		if i.A == namespace && i.B == id {
			return i.V
		}
		return nil
	}
	return nil
}

// ActiveDeployments returns the deployments that are under way. It looks at
// all deployments.
func (s *Snapshot) ActiveDeployments() iter.Seq[*structs.Deployment] {
	return keep(s.t.Deployments.Values(), (*structs.Deployment).Active)
}

// Services returns the service registrations of a namespace ("*": of all), in
// the order of names.
func (s *Snapshot) Services(namespace string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.ServicesByName.Prefixed(namespace, "")
}

// ServicesByName returns the registrations of one service.
func (s *Snapshot) ServicesByName(namespace, name string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.ServicesByName.Under(namespace, name)
}

// ServicesByAlloc returns the registrations of an allocation.
func (s *Snapshot) ServicesByAlloc(allocID string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.ServicesByAlloc.Under("", allocID)
}

// ServicesByNode returns the registrations of a node's allocations.
func (s *Snapshot) ServicesByNode(nodeID string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.ServicesByNode.Under("", nodeID)
}

// ServicesByJob returns the registrations of a job's allocations. It looks at
// all services of the namespace.
func (s *Snapshot) ServicesByJob(namespace, jobID string) iter.Seq[*structs.ServiceRegistration] {
	return keep(s.Services(namespace), func(r *structs.ServiceRegistration) bool { return r.JobID == jobID })
}

// Service returns a registration by its ID.
func (s *Snapshot) Service(namespace, id string) *structs.ServiceRegistration {
	return s.t.Services.Find(namespace, id, 0)
}

// SchedulerConfig returns the scheduler's configuration; never nil.
func (s *Snapshot) SchedulerConfig() *structs.SchedulerConfiguration { return s.t.SchedulerConfig }

// NodePool returns a node pool.
func (s *Snapshot) NodePool(name string) *structs.NodePool { return s.t.Pools.Find("", name, 0) }

// NodePools returns the node pools whose name has a prefix, in order.
func (s *Snapshot) NodePools(prefix string) iter.Seq[*structs.NodePool] {
	return s.t.Pools.Prefixed("", prefix)
}

// Namespace returns a namespace.
func (s *Snapshot) Namespace(name string) *structs.Namespace { return s.t.Namespaces.Find("", name, 0) }

// Namespaces returns the namespaces whose name has a prefix, in order.
func (s *Snapshot) Namespaces(prefix string) iter.Seq[*structs.Namespace] {
	return s.t.Namespaces.Prefixed("", prefix)
}

// Alloc returns an allocation.
func (s *Snapshot) Alloc(id string) *structs.Allocation {
	if v := s.t.Allocs.Find(id); v.Valid() {
		return v.Allocation()
	}
	return nil
}

// Allocs returns the allocations of a namespace ("*": of all) whose ID has a
// prefix, in the order of creation.
func (s *Snapshot) Allocs(namespace, prefix string) iter.Seq[*structs.Allocation] {
	views := s.t.Allocs.All()
	if prefix != "" {
		views = s.t.Allocs.ByPrefix(prefix)
	}
	return func(yield func(*structs.Allocation) bool) {
		for v := range views {
			if inNamespace(v.Shared().Namespace, namespace) && !yield(v.Allocation()) {
				return
			}
		}
	}
}

// AllocsByJob returns the allocations of a job, in the order of creation.
func (s *Snapshot) AllocsByJob(namespace, id string) iter.Seq[*structs.Allocation] {
	return whole(s.t.Allocs.ByJob(namespace, id))
}

// JobAllocs is AllocsByJob without the plain ones that take, unless it is nil,
// says it has seen enough of. What it is shown is its own only during the call.
func (s *Snapshot) JobAllocs(namespace, id string, take func(*structs.PlainAlloc) bool) iter.Seq[*structs.Allocation] {
	if take == nil {
		return s.AllocsByJob(namespace, id)
	}
	return func(yield func(*structs.Allocation) bool) {
		var p structs.PlainAlloc
		for v := range s.t.Allocs.ByJob(namespace, id) {
			var plain bool
			if p, plain = v.Plain(); plain && take(&p) {
				continue
			}
			if !yield(v.Allocation()) {
				return
			}
		}
	}
}

// AllocsByNode returns the allocations of a node.
func (s *Snapshot) AllocsByNode(nodeID string) iter.Seq[*structs.Allocation] {
	return whole(s.t.Allocs.ByNode(nodeID))
}

// AllocsByEval returns the allocations that an evaluation placed or updated in
// place.
func (s *Snapshot) AllocsByEval(evalID string) iter.Seq[*structs.Allocation] {
	return whole(s.t.Allocs.ByEval(evalID))
}

// AllocsByDeployment returns the allocations that belong to a deployment.
func (s *Snapshot) AllocsByDeployment(deploymentID string) iter.Seq[*structs.Allocation] {
	return whole(s.t.Allocs.ByDeployment(deploymentID))
}

// AllocView returns an allocation without making the object; it may not be
// Valid.
func (s *Snapshot) AllocView(id string) alloc.View { return s.t.Allocs.Find(id) }

// AllocViews returns the same as Allocs, AllocsByJob and AllocsByNode without
// making the objects, for those who count.
func (s *Snapshot) AllocViews() iter.Seq[alloc.View] { return s.t.Allocs.All() }

// AllocViewsByNode returns a node's allocations without making the objects.
func (s *Snapshot) AllocViewsByNode(nodeID string) iter.Seq[alloc.View] {
	return s.t.Allocs.ByNode(nodeID)
}

// AllocViewsByJob returns a job's allocations without making the objects.
func (s *Snapshot) AllocViewsByJob(namespace, id string) iter.Seq[alloc.View] {
	return s.t.Allocs.ByJob(namespace, id)
}

// AllocCount returns how many allocations there are.
func (s *Snapshot) AllocCount() int { return s.t.Allocs.Count() }

// NodeUsage returns the sum of what the allocations of a node that are not
// terminal use.
func (s *Snapshot) NodeUsage(nodeID string) structs.Comparable { return s.t.Allocs.Used(nodeID) }

// HostPortUsed reports whether an allocation that is not terminal uses a host
// port of a node, on any of its addresses.
func (s *Snapshot) HostPortUsed(nodeID string, port int) bool {
	return s.t.Allocs.PortUsed(nodeID, port)
}

func whole(views iter.Seq[alloc.View]) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for v := range views {
			if !yield(v.Allocation()) {
				return
			}
		}
	}
}

func inNamespace(have, want string) bool { return want == structs.AllNamespaces || have == want }

func keep[T any](seq iter.Seq[*T], wanted func(*T) bool) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for v := range seq {
			if wanted(v) && !yield(v) {
				return
			}
		}
	}
}
