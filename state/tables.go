package state

import (
	"iter"
	"strings"

	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/cow"
	"github.com/steppe-run/steppe/structs"
)

// item is a stored value under its key: up to three names and a number. Which
// part means what is said at each table.
type item[T any] struct {
	a, b, c string
	n       uint64
	v       *T
}

type table[T any] struct{ cow.Tree[item[T]] }

func newTable[T any]() table[T] {
	return table[T]{cow.New(func(x, y item[T]) bool { // spelled out: this is where reading spends its time
		switch {
		case x.a != y.a:
			return x.a < y.a
		case x.b != y.b:
			return x.b < y.b
		case x.n != y.n:
			return x.n < y.n
		}
		return x.c < y.c
	})}
}

func (t *table[T]) get(a, b string, n uint64) *T {
	found, _ := t.Get(item[T]{a: a, b: b, n: n})
	return found.v
}

// under returns the values whose first two names are a and b, in order.
func (t *table[T]) under(a, b string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range t.From(item[T]{a: a, b: b}) {
			if i.a != a || i.b != b || !yield(i.v) {
				return
			}
		}
	}
}

// prefixed returns the values whose first name is a ("*": any) and whose second
// name has a prefix, in order.
func (t *table[T]) prefixed(a, prefix string) iter.Seq[*T] {
	if a == structs.AllNamespaces {
		return func(yield func(*T) bool) {
			for i := range t.All() {
				if strings.HasPrefix(i.b, prefix) && !yield(i.v) {
					return
				}
			}
		}
	}
	return func(yield func(*T) bool) {
		for i := range t.From(item[T]{a: a, b: prefix}) {
			if i.a != a || !strings.HasPrefix(i.b, prefix) || !yield(i.v) {
				return
			}
		}
	}
}

// values returns all values in order.
func (t *table[T]) values() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range t.All() {
			if !yield(i.v) {
				return
			}
		}
	}
}

// tables is the whole state at one index. Its values are immutable.
type tables struct {
	index    uint64
	modified [numTables]uint64

	jobs        table[structs.Job]           // namespace, ID
	versions    table[structs.Job]           // namespace, ID, version
	children    table[structs.Job]           // namespace, parent ID, ID; no value
	submissions table[structs.JobSubmission] // namespace, ID, version
	summaries   table[structs.JobSummary]    // namespace, ID
	scaling     table[scalingLog]            // namespace, ID
	stats       table[jobStats]              // namespace, ID; also of jobs that are gone

	nodes table[structs.Node] // "", ID

	evals            table[structs.Evaluation] // "", ID
	evalsByJob       table[structs.Evaluation] // namespace, job, create index, ID
	deployments      table[structs.Deployment] // "", ID
	deploymentsByJob table[structs.Deployment] // namespace, job, create index, ID

	services        table[structs.ServiceRegistration] // namespace, ID
	servicesByName  table[structs.ServiceRegistration] // namespace, name, ID
	servicesByAlloc table[structs.ServiceRegistration] // "", allocation, namespace and ID
	servicesByNode  table[structs.ServiceRegistration] // "", node, namespace and ID

	allocs *alloc.Table

	pools           table[structs.NodePool]  // "", name
	namespaces      table[structs.Namespace] // "", name
	schedulerConfig *structs.SchedulerConfiguration
}

// jobStats counts what a job's status follows from.
type jobStats struct {
	Evals, LiveEvals, LiveAllocs, LiveDeployments int
}

// scalingLog is the last scaling events of a job by group, newest first.
type scalingLog struct {
	Namespace, JobID string
	Groups           map[string][]*structs.ScalingEvent
}

const maxScalingEvents = 20 // kept of a group

func newTables() *tables {
	t := &tables{
		jobs: newTable[structs.Job](), versions: newTable[structs.Job](), children: newTable[structs.Job](),
		submissions: newTable[structs.JobSubmission](), summaries: newTable[structs.JobSummary](),
		scaling: newTable[scalingLog](), stats: newTable[jobStats](),
		nodes: newTable[structs.Node](),
		evals: newTable[structs.Evaluation](), evalsByJob: newTable[structs.Evaluation](),
		deployments: newTable[structs.Deployment](), deploymentsByJob: newTable[structs.Deployment](),
		services: newTable[structs.ServiceRegistration](), servicesByName: newTable[structs.ServiceRegistration](),
		servicesByAlloc: newTable[structs.ServiceRegistration](), servicesByNode: newTable[structs.ServiceRegistration](),
		allocs: alloc.New(),
		pools:  newTable[structs.NodePool](), namespaces: newTable[structs.Namespace](),
		schedulerConfig: &structs.SchedulerConfiguration{
			SchedulerAlgorithm: structs.SchedulerBinPack,
			PreemptionConfig:   structs.PreemptionConfig{SystemSchedulerEnabled: true},
		},
	}
	t.allocs.Finish()
	t.namespaces.Set(item[structs.Namespace]{b: structs.DefaultNamespace, v: &structs.Namespace{
		Name: structs.DefaultNamespace, Description: "Default shared namespace",
	}})
	for name, description := range map[string]string{
		structs.NodePoolDefault: "Default node pool.",
		structs.NodePoolAll:     "Node pool with all nodes in the cluster.",
	} {
		t.pools.Set(item[structs.NodePool]{b: name, v: &structs.NodePool{Name: name, Description: description}})
	}
	return t
}

// share marks all tables as given away.
func (t *tables) share() {
	for _, x := range []interface{ Share() }{
		&t.jobs, &t.versions, &t.children, &t.submissions, &t.summaries, &t.scaling, &t.stats,
		&t.nodes, &t.evals, &t.evalsByJob, &t.deployments, &t.deploymentsByJob,
		&t.services, &t.servicesByName, &t.servicesByAlloc, &t.servicesByNode, &t.pools, &t.namespaces,
	} {
		x.Share()
	}
}

func (t *tables) job(key structs.NamespacedID) *structs.Job {
	return t.jobs.get(key.Namespace, key.ID, 0)
}

func (t *tables) node(id string) *structs.Node             { return t.nodes.get("", id, 0) }
func (t *tables) eval(id string) *structs.Evaluation       { return t.evals.get("", id, 0) }
func (t *tables) deployment(id string) *structs.Deployment { return t.deployments.get("", id, 0) }
