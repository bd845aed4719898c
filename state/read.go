package state

import (
	"io"
	"iter"

	"github.com/steppe-run/steppe/structs"
)

// Snapshot is the state at one index. It never changes. What it returns is nil
// if absent and must not be modified.
type Snapshot struct{ t *tables }

// Index returns the index of the last entry applied.
func (s *Snapshot) Index() uint64 { return s.t.index }

// TableIndex returns the index of the last entry that changed one of the
// tables, at least 1 so that a blocking query can wait for the first one.
func (s *Snapshot) TableIndex(tables ...Table) uint64 {
	last := uint64(1)
	for _, t := range tables {
		last = max(last, s.t.modified[t])
	}
	return last
}

// Persist writes the state, versioned and checksummed.
func (s *Snapshot) Persist(w io.Writer) error { return persist(w, s.t) }

// StateHash returns a hash over the content: equal on all servers at an index.
func (s *Snapshot) StateHash() [32]byte { return stateHash(s.t) }

// Job returns a job's current version.
func (s *Snapshot) Job(namespace, id string) *structs.Job { return s.t.jobs.get(namespace, id, 0) }

// JobVersion returns one version of a job.
func (s *Snapshot) JobVersion(namespace, id string, version uint64) *structs.Job {
	return s.t.versions.get(namespace, id, version)
}

// JobVersionByTag returns the version of a job that carries a tag.
func (s *Snapshot) JobVersionByTag(namespace, id, tag string) *structs.Job {
	for j := range s.t.versions.under(namespace, id) {
		if j.VersionTag != nil && j.VersionTag.Name == tag {
			return j
		}
	}
	return nil
}

// JobVersions returns the versions that are kept of a job, newest first.
func (s *Snapshot) JobVersions(namespace, id string) []*structs.Job {
	return s.t.jobVersions(structs.NamespacedID{Namespace: namespace, ID: id})
}

// Jobs returns the jobs of a namespace ("*": of all) whose ID has a prefix, in
// the order of namespace and ID.
func (s *Snapshot) Jobs(namespace, prefix string) iter.Seq[*structs.Job] {
	return s.t.jobs.prefixed(namespace, prefix)
}

// JobChildren returns the jobs that a periodic or parameterized job has made.
func (s *Snapshot) JobChildren(namespace, parentID string) iter.Seq[*structs.Job] {
	return s.t.childrenOf(structs.NamespacedID{Namespace: namespace, ID: parentID})
}

// JobSummary returns the counts of a job's allocations.
func (s *Snapshot) JobSummary(namespace, id string) *structs.JobSummary {
	return s.t.summaries.get(namespace, id, 0)
}

// JobSubmission returns the source that a job version was registered from.
func (s *Snapshot) JobSubmission(namespace, id string, version uint64) *structs.JobSubmission {
	return s.t.submissions.get(namespace, id, version)
}

// ScalingEvents returns the last scaling events of a job by group, newest
// first.
func (s *Snapshot) ScalingEvents(namespace, id string) map[string][]*structs.ScalingEvent {
	if log := s.t.scaling.get(namespace, id, 0); log != nil {
		return log.Groups
	}
	return nil
}

// Node returns a node.
func (s *Snapshot) Node(id string) *structs.Node { return s.t.node(id) }

// Nodes returns the nodes whose ID has a prefix, in the order of IDs.
func (s *Snapshot) Nodes(prefix string) iter.Seq[*structs.Node] {
	return s.t.nodes.prefixed("", prefix)
}

// NodesByPool returns the nodes of a pool; every node is in "all".
func (s *Snapshot) NodesByPool(pool string) iter.Seq[*structs.Node] {
	return keep(s.t.nodes.values(), func(n *structs.Node) bool { return n.InPool(pool) })
}

// NodeCount returns how many nodes there are.
func (s *Snapshot) NodeCount() int { return s.t.nodes.Len() }

// Eval returns an evaluation.
func (s *Snapshot) Eval(id string) *structs.Evaluation { return s.t.eval(id) }

// Evals returns the evaluations of a namespace ("*": of all) whose ID has a
// prefix, in the order of IDs.
func (s *Snapshot) Evals(namespace, prefix string) iter.Seq[*structs.Evaluation] {
	return keep(s.t.evals.prefixed("", prefix), func(e *structs.Evaluation) bool { return inNamespace(e.Namespace, namespace) })
}

// EvalsByJob returns a job's evaluations, in the order of creation.
func (s *Snapshot) EvalsByJob(namespace, id string) iter.Seq[*structs.Evaluation] {
	return s.t.evalsByJob.under(namespace, id)
}

// EvalsByStatus returns the evaluations of a status, in the order of IDs. It
// looks at all evaluations.
func (s *Snapshot) EvalsByStatus(status string) iter.Seq[*structs.Evaluation] {
	return keep(s.t.evals.values(), func(e *structs.Evaluation) bool { return e.Status == status })
}

// Deployment returns a deployment.
func (s *Snapshot) Deployment(id string) *structs.Deployment { return s.t.deployment(id) }

// Deployments returns the deployments of a namespace ("*": of all) whose ID
// has a prefix, in the order of IDs.
func (s *Snapshot) Deployments(namespace, prefix string) iter.Seq[*structs.Deployment] {
	return keep(s.t.deployments.prefixed("", prefix), func(d *structs.Deployment) bool { return inNamespace(d.Namespace, namespace) })
}

// DeploymentsByJob returns a job's deployments, in the order of creation.
func (s *Snapshot) DeploymentsByJob(namespace, id string) iter.Seq[*structs.Deployment] {
	return s.t.deploymentsByJob.under(namespace, id)
}

// LatestDeployment returns a job's newest deployment.
func (s *Snapshot) LatestDeployment(namespace, id string) *structs.Deployment {
	for i := range s.t.deploymentsByJob.Down(item[structs.Deployment]{a: namespace, b: id, n: ^uint64(0)}) {
		if i.a == namespace && i.b == id {
			return i.v
		}
		return nil
	}
	return nil
}

// ActiveDeployments returns the deployments that are under way. It looks at
// all deployments.
func (s *Snapshot) ActiveDeployments() iter.Seq[*structs.Deployment] {
	return keep(s.t.deployments.values(), (*structs.Deployment).Active)
}

// Services returns the service registrations of a namespace ("*": of all), in
// the order of names.
func (s *Snapshot) Services(namespace string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.servicesByName.prefixed(namespace, "")
}

// ServicesByName returns the registrations of one service.
func (s *Snapshot) ServicesByName(namespace, name string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.servicesByName.under(namespace, name)
}

// ServicesByAlloc returns the registrations of an allocation.
func (s *Snapshot) ServicesByAlloc(allocID string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.servicesByAlloc.under("", allocID)
}

// ServicesByNode returns the registrations of a node's allocations.
func (s *Snapshot) ServicesByNode(nodeID string) iter.Seq[*structs.ServiceRegistration] {
	return s.t.servicesByNode.under("", nodeID)
}

// ServicesByJob returns the registrations of a job's allocations. It looks at
// all services of the namespace.
func (s *Snapshot) ServicesByJob(namespace, jobID string) iter.Seq[*structs.ServiceRegistration] {
	return keep(s.Services(namespace), func(r *structs.ServiceRegistration) bool { return r.JobID == jobID })
}

// Service returns a registration by its ID.
func (s *Snapshot) Service(namespace, id string) *structs.ServiceRegistration {
	return s.t.services.get(namespace, id, 0)
}

// SchedulerConfig returns the scheduler's configuration; never nil.
func (s *Snapshot) SchedulerConfig() *structs.SchedulerConfiguration { return s.t.schedulerConfig }

// NodePool returns a node pool.
func (s *Snapshot) NodePool(name string) *structs.NodePool { return s.t.pools.get("", name, 0) }

// NodePools returns the node pools whose name has a prefix, in order.
func (s *Snapshot) NodePools(prefix string) iter.Seq[*structs.NodePool] {
	return s.t.pools.prefixed("", prefix)
}

// Namespace returns a namespace.
func (s *Snapshot) Namespace(name string) *structs.Namespace { return s.t.namespaces.get("", name, 0) }

// Namespaces returns the namespaces whose name has a prefix, in order.
func (s *Snapshot) Namespaces(prefix string) iter.Seq[*structs.Namespace] {
	return s.t.namespaces.prefixed("", prefix)
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
