package state

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/steppe-run/steppe/structs"
)

// restore reads what persist wrote. Indexes and counts are made anew.
func restore(r io.Reader) (*tables, error) {
	b := &restoring{tables: newTables(), in: &sectionReader{r: bufio.NewReaderSize(r, 1<<16)}}
	b.allocs = b.allocs.Begin()
	b.pools, b.namespaces = newTable[structs.NodePool](), newTable[structs.Namespace]()
	if err := b.read(); err != nil {
		return nil, fmt.Errorf("restore state: %w", errors.Join(ErrBadSnapshot, err))
	}
	b.allocs.Finish()
	for key, s := range b.counts {
		b.stats.Set(item[jobStats]{a: key.Namespace, b: key.ID, v: s})
	}
	return b.tables, nil
}

// restoring is a state while it is read.
type restoring struct {
	*tables
	in     *sectionReader
	places []*structs.Job
	counts map[structs.NamespacedID]*jobStats
}

func (b *restoring) read() error {
	b.counts = map[structs.NamespacedID]*jobStats{}
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
			b.submissions.Set(item[structs.JobSubmission]{a: s.Namespace, b: s.JobID, n: s.Version, v: s.Submission})
		})
	case sectionSummaries:
		return loading(func(s *structs.JobSummary) {
			b.summaries.Set(item[structs.JobSummary]{a: s.Namespace, b: s.JobID, v: s})
		})
	case sectionScaling:
		return loading(func(l *scalingLog) { b.scaling.Set(item[scalingLog]{a: l.Namespace, b: l.JobID, v: l}) })
	case sectionNodes:
		return loading(func(n *structs.Node) { b.nodes.Set(item[structs.Node]{b: n.ID, v: n}) })
	case sectionEvals:
		return loading(b.loadEval)
	case sectionDeployments:
		return loading(b.loadDeployment)
	case sectionServices:
		return loading(b.loadService)
	case sectionAllocs:
		return b.loadAllocs
	case sectionPools:
		return loading(func(p *structs.NodePool) { b.pools.Set(item[structs.NodePool]{b: p.Name, v: p}) })
	case sectionNamespaces:
		return loading(func(n *structs.Namespace) { b.namespaces.Set(item[structs.Namespace]{b: n.Name, v: n}) })
	case sectionScheduler:
		return loading(func(c *structs.SchedulerConfiguration) { b.schedulerConfig = c })
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
	b.index = m.Index
	for t := range numTables {
		b.modified[t] = m.Modified[t.String()]
	}
}

func (b *restoring) loadJob(img *jobImage) {
	j := img.Job
	if j == nil {
		j = &structs.Job{}
	}
	key := j.NamespacedID()
	b.places = append(b.places, j)
	b.versions.Set(item[structs.Job]{a: key.Namespace, b: key.ID, n: j.GetVersion(), v: j})
	if !img.Current {
		return
	}
	b.jobs.Set(item[structs.Job]{a: key.Namespace, b: key.ID, v: j})
	if parent := j.GetParentID(); parent != "" {
		b.children.Set(item[structs.Job]{a: key.Namespace, b: parent, c: key.ID})
	}
}

func (b *restoring) count(key structs.NamespacedID) *jobStats {
	if b.counts[key] == nil {
		b.counts[key] = &jobStats{}
	}
	return b.counts[key]
}

func (b *restoring) loadEval(e *structs.Evaluation) {
	b.evals.Set(item[structs.Evaluation]{b: e.ID, v: e})
	b.evalsByJob.Set(item[structs.Evaluation]{a: e.Namespace, b: e.JobID, n: e.CreateIndex, c: e.ID, v: e})
	s := b.count(e.JobNamespacedID())
	s.Evals++
	if !e.Terminal() {
		s.LiveEvals++
	}
}

func (b *restoring) loadDeployment(d *structs.Deployment) {
	b.deployments.Set(item[structs.Deployment]{b: d.ID, v: d})
	b.deploymentsByJob.Set(item[structs.Deployment]{a: d.Namespace, b: d.JobID, n: d.CreateIndex, c: d.ID, v: d})
	if d.Active() {
		b.count(structs.NamespacedID{Namespace: d.Namespace, ID: d.JobID}).LiveDeployments++
	}
}

func (b *restoring) loadService(r *structs.ServiceRegistration) {
	b.services.Set(item[structs.ServiceRegistration]{a: r.Namespace, b: r.ID, v: r})
	b.servicesByName.Set(item[structs.ServiceRegistration]{a: r.Namespace, b: r.ServiceName, c: r.ID, v: r})
	b.servicesByAlloc.Set(item[structs.ServiceRegistration]{b: r.AllocID, c: r.Namespace + "/" + r.ID, v: r})
	b.servicesByNode.Set(item[structs.ServiceRegistration]{b: r.NodeID, c: r.Namespace + "/" + r.ID, v: r})
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
	views, err := b.allocs.Load(record.Batch, func(place int) *structs.Job {
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
