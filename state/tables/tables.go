// Package tables is the state as data: every table with its indexes at one
// index of the log, and the form in which all of it is written to a snapshot
// and read back.
//
// It must not know commands nor decide anything: package state changes the
// tables, and alone may. Values in them are immutable.
//
// Begin reading at Tables, then Persist.
package tables

import (
	"iter"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/cow"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// Item is a stored value under its key: up to three names and a number. Which
// part means what is said at each table.
type Item[T any] struct {
	A, B, C string
	N       uint64
	V       *T
}

// Table is stored values in the order of their keys.
type Table[T any] struct{ cow.Tree[Item[T]] }

func newTable[T any]() Table[T] {
	return Table[T]{cow.New(func(x, y Item[T]) bool { // spelled out: this is where reading spends its time
		switch {
		case x.A != y.A:
			return x.A < y.A
		case x.B != y.B:
			return x.B < y.B
		case x.N != y.N:
			return x.N < y.N
		}
		return x.C < y.C
	})}
}

// Find returns the value under a key without a third name, or nil.
func (t *Table[T]) Find(a, b string, n uint64) *T {
	found, _ := t.Get(Item[T]{A: a, B: b, N: n})
	return found.V
}

// Under returns the values whose first two names are a and b, in order.
func (t *Table[T]) Under(a, b string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range t.From(Item[T]{A: a, B: b}) {
			if i.A != a || i.B != b || !yield(i.V) {
				return
			}
		}
	}
}

// Prefixed returns the values whose first name is a ("*": any) and whose second
// name has a prefix, in order.
func (t *Table[T]) Prefixed(a, prefix string) iter.Seq[*T] {
	if a == structs.AllNamespaces {
		return func(yield func(*T) bool) {
			for i := range t.All() {
				if strings.HasPrefix(i.B, prefix) && !yield(i.V) {
					return
				}
			}
		}
	}
	return func(yield func(*T) bool) {
		for i := range t.From(Item[T]{A: a, B: prefix}) {
			if i.A != a || !strings.HasPrefix(i.B, prefix) || !yield(i.V) {
				return
			}
		}
	}
}

// Values returns all values in order.
func (t *Table[T]) Values() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range t.All() {
			if !yield(i.V) {
				return
			}
		}
	}
}

// Tables is the whole state at one index. Its values are immutable.
type Tables struct {
	Index    uint64
	Modified [feed.NumTables]uint64

	Jobs        Table[structs.Job]           // namespace, ID
	Versions    Table[structs.Job]           // namespace, ID, version
	Children    Table[structs.Job]           // namespace, parent ID, ID; no value
	EveryNode   Table[structs.Job]           // namespace, ID; jobs that run on every node
	Submissions Table[structs.JobSubmission] // namespace, ID, version
	Summaries   Table[structs.JobSummary]    // namespace, ID
	Scaling     Table[ScalingLog]            // namespace, ID
	Stats       Table[JobStats]              // namespace, ID; also of jobs that are gone
	Launches    Table[Launched]              // namespace, ID
	Tokens      Table[structs.Job]           // namespace, parent ID and idempotency token, ID; no value

	Nodes Table[structs.Node] // "", ID

	Evals            Table[structs.Evaluation] // "", ID
	EvalsByJob       Table[structs.Evaluation] // namespace, job, create index, ID
	Deployments      Table[structs.Deployment] // "", ID
	DeploymentsByJob Table[structs.Deployment] // namespace, job, create index, ID

	Services        Table[structs.ServiceRegistration] // namespace, ID
	ServicesByName  Table[structs.ServiceRegistration] // namespace, name, ID
	ServicesByAlloc Table[structs.ServiceRegistration] // "", allocation, namespace and ID
	ServicesByNode  Table[structs.ServiceRegistration] // "", node, namespace and ID

	Allocs *alloc.Table

	Pools           Table[structs.NodePool]  // "", name
	Namespaces      Table[structs.Namespace] // "", name
	SchedulerConfig *structs.SchedulerConfiguration
}

// JobStats counts what a job's status follows from.
type JobStats struct {
	Evals, LiveEvals, LiveAllocs, LiveDeployments int
}

// Launched is how far the launches of a periodic job are settled.
type Launched struct {
	Namespace, JobID string
	Until            int64 // the last launch that was made or left out, unix seconds
	ModifyIndex      uint64
}

// ScalingLog is the last scaling events of a job by group, newest first.
type ScalingLog struct {
	Namespace, JobID string
	Groups           map[string][]*structs.ScalingEvent
}

// MaxScalingEvents is how many are kept of a group.
const MaxScalingEvents = 20

// New returns the tables of a new cluster: the default namespace and pools.
func New() *Tables {
	t := &Tables{
		Jobs: newTable[structs.Job](), Versions: newTable[structs.Job](), Children: newTable[structs.Job](),
		EveryNode:   newTable[structs.Job](),
		Submissions: newTable[structs.JobSubmission](), Summaries: newTable[structs.JobSummary](),
		Scaling: newTable[ScalingLog](), Stats: newTable[JobStats](),
		Launches: newTable[Launched](), Tokens: newTable[structs.Job](),
		Nodes: newTable[structs.Node](),
		Evals: newTable[structs.Evaluation](), EvalsByJob: newTable[structs.Evaluation](),
		Deployments: newTable[structs.Deployment](), DeploymentsByJob: newTable[structs.Deployment](),
		Services: newTable[structs.ServiceRegistration](), ServicesByName: newTable[structs.ServiceRegistration](),
		ServicesByAlloc: newTable[structs.ServiceRegistration](), ServicesByNode: newTable[structs.ServiceRegistration](),
		Allocs: alloc.New(),
		Pools:  newTable[structs.NodePool](), Namespaces: newTable[structs.Namespace](),
		SchedulerConfig: &structs.SchedulerConfiguration{
			SchedulerAlgorithm: structs.SchedulerBinPack,
			PreemptionConfig:   structs.PreemptionConfig{SystemSchedulerEnabled: true},
		},
	}
	t.Allocs.Finish()
	t.Namespaces.Set(Item[structs.Namespace]{B: structs.DefaultNamespace, V: &structs.Namespace{
		Name: structs.DefaultNamespace, Description: "Default shared namespace",
	}})
	for name, description := range map[string]string{
		structs.NodePoolDefault: "Default node pool.",
		structs.NodePoolAll:     "Node pool with all nodes in the cluster.",
	} {
		t.Pools.Set(Item[structs.NodePool]{B: name, V: &structs.NodePool{Name: name, Description: description}})
	}
	return t
}

// Share marks all tables as given away.
func (t *Tables) Share() {
	for _, x := range []interface{ Share() }{
		&t.Jobs, &t.Versions, &t.Children, &t.EveryNode, &t.Submissions, &t.Summaries, &t.Scaling, &t.Stats, &t.Launches, &t.Tokens,
		&t.Nodes, &t.Evals, &t.EvalsByJob, &t.Deployments, &t.DeploymentsByJob,
		&t.Services, &t.ServicesByName, &t.ServicesByAlloc, &t.ServicesByNode, &t.Pools, &t.Namespaces,
	} {
		x.Share()
	}
}

// Job returns the newest version of a job, or nil.
func (t *Tables) Job(key structs.NamespacedID) *structs.Job {
	return t.Jobs.Find(key.Namespace, key.ID, 0)
}

// Node returns a node, or nil.
func (t *Tables) Node(id string) *structs.Node { return t.Nodes.Find("", id, 0) }

// Eval returns an evaluation, or nil.
func (t *Tables) Eval(id string) *structs.Evaluation { return t.Evals.Find("", id, 0) }

// Deployment returns a deployment, or nil.
func (t *Tables) Deployment(id string) *structs.Deployment { return t.Deployments.Find("", id, 0) }

// JobVersions returns the versions that are kept of a job, newest first.
func (t *Tables) JobVersions(key structs.NamespacedID) []*structs.Job {
	versions := slices.Collect(t.Versions.Under(key.Namespace, key.ID))
	slices.Reverse(versions)
	return versions
}

// HasTag tells whether a version of a job carries a tag.
func (t *Tables) HasTag(key structs.NamespacedID) bool {
	for j := range t.Versions.Under(key.Namespace, key.ID) {
		if j.VersionTag != nil {
			return true
		}
	}
	return false
}

// SetJob stores a job's current version.
func (t *Tables) SetJob(key structs.NamespacedID, j *structs.Job) {
	at := Item[structs.Job]{A: key.Namespace, B: key.ID, V: j}
	t.Jobs.Set(at)
	if structs.EveryNode(j.GetType()) {
		t.EveryNode.Set(at)
	} else if t.EveryNode.Find(key.Namespace, key.ID, 0) != nil {
		t.EveryNode.Delete(at)
	}
}

// JobsFor returns the jobs that run on every node and want one on this node, as
// far as its pool and datacenter say.
func (t *Tables) JobsFor(n *structs.Node) iter.Seq[*structs.Job] {
	return func(yield func(*structs.Job) bool) {
		for job := range t.EveryNode.Values() {
			wanted := !job.Stopped() && !job.IsPeriodic() && !job.IsParameterized() &&
				n.Ready() && n.InPool(job.GetNodePool()) && n.InDatacenters(job.Datacenters)
			if wanted && !yield(job) {
				return
			}
		}
	}
}

// ChildrenOf returns the jobs that a periodic or parameterized job has made.
func (t *Tables) ChildrenOf(parent structs.NamespacedID) iter.Seq[*structs.Job] {
	return func(yield func(*structs.Job) bool) {
		for i := range t.Children.From(Item[structs.Job]{A: parent.Namespace, B: parent.ID}) {
			if i.A != parent.Namespace || i.B != parent.ID {
				return
			}
			if j := t.Jobs.Find(i.A, i.C, 0); j != nil && !yield(j) {
				return
			}
		}
	}
}

// Link lists a job among the children of its parent, if it has one.
func (t *Tables) Link(j *structs.Job) {
	for table, item := range t.links(j) {
		table.Set(item)
	}
}

// Unlink takes a job from the children of its parent.
func (t *Tables) Unlink(j *structs.Job) {
	for table, item := range t.links(j) {
		table.Delete(item)
	}
}

// links are the entries by which a job is found from its parent.
func (t *Tables) links(j *structs.Job) iter.Seq2[*Table[structs.Job], Item[structs.Job]] {
	return func(yield func(*Table[structs.Job], Item[structs.Job]) bool) {
		parent, token := j.GetParentID(), structs.Value(j.DispatchIdempotencyToken)
		if parent == "" || !yield(&t.Children, Item[structs.Job]{A: j.GetNamespace(), B: parent, C: j.GetID()}) || token == "" {
			return
		}
		yield(&t.Tokens, Item[structs.Job]{A: j.GetNamespace(), B: tokenKey(parent, token), C: j.GetID()})
	}
}

// tokenKey joins what IDs can't contain.
func tokenKey(parent, token string) string { return parent + "\x00" + token }

// Dispatched returns the child that an idempotency token has made, or nil.
func (t *Tables) Dispatched(parent structs.NamespacedID, token string) *structs.Job {
	want := Item[structs.Job]{A: parent.Namespace, B: tokenKey(parent.ID, token)}
	for i := range t.Tokens.From(want) {
		if i.A == want.A && i.B == want.B {
			return t.Jobs.Find(i.A, i.C, 0)
		}
		break
	}
	return nil
}
