package tables

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// ErrBadSnapshot is returned by Restore for anything that Persist didn't write.
var ErrBadSnapshot = errors.New("snapshot is damaged or not a snapshot")

// Restore reads what Persist wrote. Indexes and counts are made anew.
func Restore(r io.Reader) (*Tables, error) {
	b := &restoring{Tables: New(), in: &sectionReader{r: bufio.NewReaderSize(r, 1<<16)}}
	b.Allocs = b.Allocs.Begin()
	b.Pools, b.Namespaces = newTable[structs.NodePool](), newTable[structs.Namespace]()
	if err := b.read(); err != nil {
		return nil, fmt.Errorf("restore state: %w", errors.Join(ErrBadSnapshot, err))
	}
	b.Allocs.Finish()
	for key, s := range b.counts {
		b.Stats.Set(Item[JobStats]{A: key.Namespace, B: key.ID, V: s})
	}
	return b.Tables, nil
}

// restoring is a state while it is read.
type restoring struct {
	*Tables
	in     *sectionReader
	places []*structs.Job
	counts map[structs.NamespacedID]*JobStats
}

func (b *restoring) read() error {
	b.counts = map[structs.NamespacedID]*JobStats{}
	if err := b.in.magic(); err != nil {
		return err
	}
	for last := byte(0); last != sectionEnd; {
		kind, err := b.in.next()
		if err != nil {
			return fmt.Errorf("read the section after %d: %w", last, err)
		}
		if kind <= last {
			return fmt.Errorf("section %d follows section %d", kind, last)
		}
		if err := b.section(kind); err != nil {
			return fmt.Errorf("read section %d: %w", kind, err)
		}
		last = kind
	}
	return nil
}

func (b *restoring) section(kind byte) error {
	load := b.loader(kind)
	for {
		record, err := b.in.record()
		if record == nil || err != nil {
			return err
		}
		if load == nil {
			return errors.New("it is not known to this version of Steppe: upgrade this server")
		}
		if err := load(record); err != nil {
			return err
		}
	}
}

func (b *restoring) loader(kind byte) func([]byte) error {
	switch kind {
	case sectionMeta:
		return loading(b.loadMeta)
	case sectionJobs:
		return loading(b.loadJob)
	case sectionSubmissions:
		return loading(func(s *submissionImage) {
			b.Submissions.Set(Item[structs.JobSubmission]{A: s.Namespace, B: s.JobID, N: s.Version, V: s.Submission})
		})
	case sectionSummaries:
		return loading(func(s *summaryImage) {
			b.Summaries.Set(Item[structs.JobSummary]{A: s.Namespace, B: s.JobID, V: s.load()})
		})
	case sectionScaling:
		return loading(func(l *ScalingLog) { b.Scaling.Set(Item[ScalingLog]{A: l.Namespace, B: l.JobID, V: l}) })
	case sectionNodes:
		return loading(func(n *structs.Node) { b.Nodes.Set(Item[structs.Node]{B: n.ID, V: n}) })
	case sectionEvals:
		return loading(b.loadEval)
	case sectionDeployments:
		return loading(b.loadDeployment)
	case sectionServices:
		return loading(b.loadService)
	case sectionAllocs:
		return b.loadAllocs
	case sectionPools:
		return loading(func(p *structs.NodePool) { b.Pools.Set(Item[structs.NodePool]{B: p.Name, V: p}) })
	case sectionNamespaces:
		return loading(func(n *structs.Namespace) { b.Namespaces.Set(Item[structs.Namespace]{B: n.Name, V: n}) })
	case sectionLaunches:
		return loading(func(l *Launched) { b.Launches.Set(Item[Launched]{A: l.Namespace, B: l.JobID, V: l}) })
	case sectionScheduler:
		return loading(func(c *structs.SchedulerConfiguration) { b.SchedulerConfig = c })
	}
	return nil
}

// loading decodes a record before it is stored.
func loading[T any](store func(*T)) func([]byte) error {
	return func(data []byte) error {
		v, err := decodeRecord[T](data)
		if err != nil {
			return err
		}
		store(v)
		return nil
	}
}

func (b *restoring) loadMeta(m *metaImage) {
	b.Index = m.Index
	for t := range feed.NumTables {
		b.Modified[t] = m.Modified[t.String()]
	}
}

func (b *restoring) loadJob(img *jobImage) {
	j := img.Job
	if j == nil {
		j = &structs.Job{}
	}
	key := j.NamespacedID()
	b.places = append(b.places, j)
	b.Versions.Set(Item[structs.Job]{A: key.Namespace, B: key.ID, N: j.GetVersion(), V: j})
	if !img.Current {
		return
	}
	b.SetJob(key, j)
	b.Link(j)
}

func (b *restoring) count(key structs.NamespacedID) *JobStats {
	if b.counts[key] == nil {
		b.counts[key] = &JobStats{}
	}
	return b.counts[key]
}

func (b *restoring) loadEval(e *structs.Evaluation) {
	b.Evals.Set(Item[structs.Evaluation]{B: e.ID, V: e})
	b.EvalsByJob.Set(Item[structs.Evaluation]{A: e.Namespace, B: e.JobID, N: e.CreateIndex, C: e.ID, V: e})
	s := b.count(e.JobNamespacedID())
	s.Evals++
	if !e.Terminal() {
		s.LiveEvals++
	}
}

func (b *restoring) loadDeployment(d *structs.Deployment) {
	b.Deployments.Set(Item[structs.Deployment]{B: d.ID, V: d})
	b.DeploymentsByJob.Set(Item[structs.Deployment]{A: d.Namespace, B: d.JobID, N: d.CreateIndex, C: d.ID, V: d})
	if d.Active() {
		b.count(structs.NamespacedID{Namespace: d.Namespace, ID: d.JobID}).LiveDeployments++
	}
}

func (b *restoring) loadService(r *structs.ServiceRegistration) {
	b.Services.Set(Item[structs.ServiceRegistration]{A: r.Namespace, B: r.ID, V: r})
	b.ServicesByName.Set(Item[structs.ServiceRegistration]{A: r.Namespace, B: r.ServiceName, C: r.ID, V: r})
	b.ServicesByAlloc.Set(Item[structs.ServiceRegistration]{B: r.AllocID, C: r.Namespace + "/" + r.ID, V: r})
	b.ServicesByNode.Set(Item[structs.ServiceRegistration]{B: r.NodeID, C: r.Namespace + "/" + r.ID, V: r})
}

func (b *restoring) loadAllocs(data []byte) error {
	record, err := decodeRecord[allocRecord](data)
	switch {
	case err != nil:
		return err
	case record.Job != nil:
		b.places = append(b.places, record.Job)
		return nil
	case record.Batch == nil:
		return errors.New("record holds nothing")
	}
	views, err := b.Allocs.Load(record.Batch, func(place int) *structs.Job {
		if place < 0 || place >= len(b.places) {
			return nil
		}
		return b.places[place]
	})
	for _, v := range views {
		if s := v.Shared(); !v.Row().Terminal() {
			b.count(structs.NamespacedID{Namespace: s.Namespace, ID: s.JobID}).LiveAllocs++
		}
	}
	return err
}
