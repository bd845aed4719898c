package state

import (
	"io"
	"iter"

	"github.com/steppe-run/steppe/structs"
)

// Snapshot is the state at one index. It never changes. What it returns is nil
// if absent and must not be modified.
type Snapshot struct{}

// Index returns the index of the last entry applied.
func (s *Snapshot) Index() uint64 { return 0 }

// TableIndex returns the index of the last entry that changed a table, at
// least 1 so that a blocking query can wait for the first one.
func (s *Snapshot) TableIndex(tables ...Table) uint64 { return 0 }

// StateHash returns a hash over the content: equal on all servers at an index.
func (s *Snapshot) StateHash() [32]byte { return [32]byte{} }

// Persist writes the state, versioned and checksummed.
func (s *Snapshot) Persist(w io.Writer) error { return errNotYet }

// Job returns a job's current version.
func (s *Snapshot) Job(namespace, id string) *structs.Job { return nil }

// JobVersion returns one version of a job.
func (s *Snapshot) JobVersion(namespace, id string, version uint64) *structs.Job { return nil }

// JobVersionByTag returns the version of a job that carries a tag.
func (s *Snapshot) JobVersionByTag(namespace, id, tag string) *structs.Job { return nil }

// JobVersions returns the versions that are kept of a job, newest first.
func (s *Snapshot) JobVersions(namespace, id string) []*structs.Job { return nil }

// Jobs returns the jobs of a namespace ("*": of all) whose ID has a prefix, in
// the order of namespace and ID.
func (s *Snapshot) Jobs(namespace, prefix string) iter.Seq[*structs.Job] { return nil }

// JobChildren returns the jobs that a periodic or parameterized job has made.
func (s *Snapshot) JobChildren(namespace, parentID string) iter.Seq[*structs.Job] { return nil }

// JobSummary returns the counts of a job's allocations.
func (s *Snapshot) JobSummary(namespace, id string) *structs.JobSummary { return nil }

// JobSubmission returns the source that a job version was registered from.
func (s *Snapshot) JobSubmission(namespace, id string, version uint64) *structs.JobSubmission {
	return nil
}

// ScalingEvents returns the last scaling events of a job by group, newest first.
func (s *Snapshot) ScalingEvents(namespace, id string) map[string][]*structs.ScalingEvent {
	return nil
}

// Node returns a node.
func (s *Snapshot) Node(id string) *structs.Node { return nil }

// Nodes returns the nodes whose ID has a prefix, in the order of IDs.
func (s *Snapshot) Nodes(prefix string) iter.Seq[*structs.Node] { return nil }

// NodesByPool returns the nodes of a pool; every node is in "all".
func (s *Snapshot) NodesByPool(pool string) iter.Seq[*structs.Node] { return nil }

// NodeCount returns how many nodes there are.
func (s *Snapshot) NodeCount() int { return 0 }

// Alloc returns an allocation.
func (s *Snapshot) Alloc(id string) *structs.Allocation { return nil }

// Allocs returns the allocations of a namespace ("*": of all) whose ID has a
// prefix, in the order of creation.
func (s *Snapshot) Allocs(namespace, prefix string) iter.Seq[*structs.Allocation] { return nil }

// AllocsByJob returns the allocations of a job, in the order of creation.
func (s *Snapshot) AllocsByJob(namespace, id string) iter.Seq[*structs.Allocation] { return nil }

// AllocsByNode returns the allocations of a node.
func (s *Snapshot) AllocsByNode(nodeID string) iter.Seq[*structs.Allocation] { return nil }

// AllocsByEval returns the allocations that an evaluation placed or updated in
// place.
func (s *Snapshot) AllocsByEval(evalID string) iter.Seq[*structs.Allocation] { return nil }

// AllocsByDeployment returns the allocations that belong to a deployment.
func (s *Snapshot) AllocsByDeployment(deploymentID string) iter.Seq[*structs.Allocation] {
	return nil
}

// AllocCount returns how many allocations there are.
func (s *Snapshot) AllocCount() int { return 0 }

// NodeUsage returns the sum of what the allocations of a node that are not
// terminal use.
func (s *Snapshot) NodeUsage(nodeID string) structs.Comparable { return structs.Comparable{} }

// Eval returns an evaluation.
func (s *Snapshot) Eval(id string) *structs.Evaluation { return nil }

// Evals returns the evaluations of a namespace ("*": of all) whose ID has a
// prefix, in the order of IDs.
func (s *Snapshot) Evals(namespace, prefix string) iter.Seq[*structs.Evaluation] { return nil }

// EvalsByJob returns a job's evaluations, in the order of creation.
func (s *Snapshot) EvalsByJob(namespace, id string) iter.Seq[*structs.Evaluation] { return nil }

// EvalsByStatus returns the evaluations of a status, in the order of creation.
func (s *Snapshot) EvalsByStatus(status string) iter.Seq[*structs.Evaluation] { return nil }

// Deployment returns a deployment.
func (s *Snapshot) Deployment(id string) *structs.Deployment { return nil }

// Deployments returns the deployments of a namespace ("*": of all) whose ID
// has a prefix, in the order of IDs.
func (s *Snapshot) Deployments(namespace, prefix string) iter.Seq[*structs.Deployment] { return nil }

// DeploymentsByJob returns a job's deployments, in the order of creation.
func (s *Snapshot) DeploymentsByJob(namespace, id string) iter.Seq[*structs.Deployment] { return nil }

// LatestDeployment returns a job's newest deployment.
func (s *Snapshot) LatestDeployment(namespace, id string) *structs.Deployment { return nil }

// ActiveDeployments returns the deployments that are under way.
func (s *Snapshot) ActiveDeployments() iter.Seq[*structs.Deployment] { return nil }

// Services returns the service registrations of a namespace ("*": of all), in
// the order of names.
func (s *Snapshot) Services(namespace string) iter.Seq[*structs.ServiceRegistration] { return nil }

// ServicesByName returns the registrations of one service.
func (s *Snapshot) ServicesByName(namespace, name string) iter.Seq[*structs.ServiceRegistration] {
	return nil
}

// ServicesByAlloc returns the registrations of an allocation.
func (s *Snapshot) ServicesByAlloc(allocID string) iter.Seq[*structs.ServiceRegistration] {
	return nil
}

// ServicesByNode returns the registrations of a node's allocations.
func (s *Snapshot) ServicesByNode(nodeID string) iter.Seq[*structs.ServiceRegistration] { return nil }

// Service returns a registration by its ID.
func (s *Snapshot) Service(namespace, id string) *structs.ServiceRegistration { return nil }

// SchedulerConfig returns the scheduler's configuration; never nil.
func (s *Snapshot) SchedulerConfig() *structs.SchedulerConfiguration { return nil }

// NodePool returns a node pool.
func (s *Snapshot) NodePool(name string) *structs.NodePool { return nil }

// NodePools returns the node pools whose name has a prefix, in order.
func (s *Snapshot) NodePools(prefix string) iter.Seq[*structs.NodePool] { return nil }

// Namespace returns a namespace.
func (s *Snapshot) Namespace(name string) *structs.Namespace { return nil }

// Namespaces returns the namespaces whose name has a prefix, in order.
func (s *Snapshot) Namespaces(prefix string) iter.Seq[*structs.Namespace] { return nil }
