package tables

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/steppe-run/steppe/internal/wire"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// A snapshot is a magic line and sections; see section.go for their frame. The
// sections come in the order of their numbers. What was written once must be
// readable for ever: never change what a number or a field name means. A
// section that is added is absent in old snapshots.
const snapshotMagic = "steppe-state 1\n"

const (
	sectionMeta        = 1
	sectionJobs        = 2
	sectionSubmissions = 3
	sectionSummaries   = 4
	sectionScaling     = 5
	sectionNodes       = 6
	sectionEvals       = 7
	sectionDeployments = 8
	sectionServices    = 9
	sectionAllocs      = 10
	sectionPools       = 11
	sectionNamespaces  = 12
	sectionScheduler   = 13
	sectionLaunches    = 14
	sectionEnd         = 255
)

type metaImage struct {
	Index    uint64
	Modified map[string]uint64 // by name of the table
}

type jobImage struct {
	Job     *structs.Job
	Current bool
}

type submissionImage struct {
	Namespace, JobID string
	Version          uint64
	Submission       *structs.JobSubmission
}

// summaryImage is a structs.JobSummary whose map has pointers: see package wire.
type summaryImage struct {
	JobID, Namespace         string
	Summary                  map[string]*structs.TaskGroupSummary
	Children                 *structs.JobChildrenSummary
	CreateIndex, ModifyIndex uint64
}

func imageOf(s *structs.JobSummary) *summaryImage {
	img := &summaryImage{JobID: s.JobID, Namespace: s.Namespace, Children: s.Children, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex}
	if s.Summary != nil {
		img.Summary = make(map[string]*structs.TaskGroupSummary, len(s.Summary))
	}
	for name, g := range s.Summary {
		img.Summary[name] = &g
	}
	return img
}

func (img *summaryImage) load() *structs.JobSummary {
	s := &structs.JobSummary{JobID: img.JobID, Namespace: img.Namespace, Children: img.Children, CreateIndex: img.CreateIndex, ModifyIndex: img.ModifyIndex}
	if img.Summary != nil {
		s.Summary = make(map[string]structs.TaskGroupSummary, len(img.Summary))
	}
	for name, g := range img.Summary {
		if g != nil {
			s.Summary[name] = *g
		}
	}
	return s
}

// Persist writes the state. Equal states are written as equal bytes.
func Persist(w io.Writer, t *Tables) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	s := &sectionWriter{w: buffered}
	s.raw([]byte(snapshotMagic))
	meta := metaImage{Index: t.Index, Modified: map[string]uint64{}}
	for table, index := range t.Modified {
		meta.Modified[feed.Table(table).String()] = index
	}
	s.begin(sectionMeta)
	s.record(&meta)
	s.end()
	places := persistJobs(s, t)
	s.begin(sectionSummaries)
	for v := range t.Summaries.Values() {
		s.record(imageOf(v))
	}
	s.end()
	persistValues(s, sectionScaling, &t.Scaling)
	persistValues(s, sectionNodes, &t.Nodes)
	persistValues(s, sectionEvals, &t.Evals)
	persistValues(s, sectionDeployments, &t.Deployments)
	persistValues(s, sectionServices, &t.Services)
	persistAllocs(s, t, places)
	persistValues(s, sectionPools, &t.Pools)
	persistValues(s, sectionNamespaces, &t.Namespaces)
	s.begin(sectionScheduler)
	s.record(t.SchedulerConfig)
	s.end()
	persistValues(s, sectionLaunches, &t.Launches)
	s.begin(sectionEnd)
	s.end()
	if s.err == nil {
		s.err = buffered.Flush()
	}
	if s.err != nil {
		return fmt.Errorf("persist state: %w", s.err)
	}
	return nil
}

func persistValues[T any](s *sectionWriter, kind byte, t *Table[T]) {
	s.begin(kind)
	for v := range t.Values() {
		s.record(v)
	}
	s.end()
}

// jobKey names a version of a job for ever, also after the job was purged and
// registered anew.
type jobKey struct {
	namespace, id                 string
	version, created, jobModified uint64
}

func keyOf(j *structs.Job) jobKey {
	return jobKey{j.GetNamespace(), j.GetID(), j.GetVersion(), j.GetCreateIndex(), j.GetJobModifyIndex()}
}

// persistJobs writes all versions of all jobs and returns their places.
func persistJobs(s *sectionWriter, t *Tables) map[jobKey]int {
	places := map[jobKey]int{}
	s.begin(sectionJobs)
	for j := range t.Versions.Values() {
		current := t.Jobs.Find(j.GetNamespace(), j.GetID(), 0)
		places[keyOf(j)] = len(places)
		s.record(&jobImage{Job: j, Current: current.GetVersion() == j.GetVersion()})
	}
	s.end()
	s.begin(sectionSubmissions)
	for i := range t.Submissions.All() {
		s.record(&submissionImage{i.A, i.B, i.N, i.V})
	}
	s.end()
	return places
}

// allocRecord is either a batch, or a version of a job that only allocations
// know any more.
type allocRecord struct {
	Job   *structs.Job
	Batch *alloc.Image
}

func persistAllocs(s *sectionWriter, t *Tables, places map[jobKey]int) {
	s.begin(sectionAllocs)
	place := func(j *structs.Job) int {
		key := keyOf(j)
		at, ok := places[key]
		if !ok {
			at = len(places)
			places[key] = at
			s.record(&allocRecord{Job: forgotten(j)})
		}
		return at
	}
	for b := range t.Allocs.Batches() {
		s.record(&allocRecord{Batch: b.Image(place)}) // place may have written jobs before
	}
	s.end()
}

// forgotten returns a version that is no longer kept without what changes
// while it is: allocations may know it from before or after such a change.
func forgotten(j *structs.Job) *structs.Job {
	next := *j
	next.Status, next.StatusDescription, next.Stable, next.ModifyIndex, next.VersionTag = nil, nil, nil, nil, nil
	return &next
}

// Hash is a hash over what Persist writes: equal states have equal ones.
func Hash(t *Tables) [32]byte {
	h := sha256.New()
	if err := Persist(h, t); err != nil {
		return [32]byte{} // a value that can't be encoded: it could not be persisted either
	}
	return [32]byte(h.Sum(nil))
}

// decodeRecord reads a record as a T.
func decodeRecord[T any](data []byte) (*T, error) {
	v := new(T)
	if err := wire.Unmarshal(data, v); err != nil {
		return nil, err
	}
	return v, nil
}
