package command

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Every job that is placed has an explanation, and it is most of a small plan: it
// is written field by field, so that nodes and names of parts stand in an entry
// once. It begins as an object of no bytes: those that once were written as msgpack
// have some.

// metrics writes an explanation that may be nil or occur several times.
func (e *encoder) metrics(m *structs.AllocationMetric) {
	if at, ok := e.blobs[m]; ok && m != nil {
		e.uint(at + oldBlob)
		return
	}
	if m == nil {
		e.uint(noBlob)
		return
	}
	e.blobs[m] = uint64(len(e.blobs))
	e.uint(newBlob)
	e.count(0)
	for _, n := range []int{m.NodesEvaluated, m.NodesFiltered, m.NodesInPool, m.NodesExhausted, m.CoalescedFailures, int(m.AllocationTime)} {
		e.int(int64(n))
	}
	e.text(m.NodePool)
	for _, by := range []map[string]int{m.NodesAvailable, m.ClassFiltered, m.ConstraintFiltered, m.ClassExhausted, m.DimensionExhausted} {
		e.counts(by)
	}
	e.count(len(m.ScoreMetaData))
	for _, s := range m.ScoreMetaData {
		if s == nil {
			s = &structs.NodeScoreMeta{}
		}
		e.text(s.NodeID)
		e.float(s.NormScore)
		e.count(len(s.Scores))
		for i := range s.Scores {
			e.text(s.Scores[i].Name)
			e.float(s.Scores[i].Value)
		}
	}
	object(e, seldom(m))
}

// seldom has what few explanations have, nil if this one doesn't.
func seldom(m *structs.AllocationMetric) *structs.AllocationMetric {
	if m.QuotaExhausted == nil && m.ResourcesExhausted == nil && m.Scores == nil {
		return nil
	}
	return &structs.AllocationMetric{QuotaExhausted: m.QuotaExhausted, ResourcesExhausted: m.ResourcesExhausted, Scores: m.Scores}
}

// counts writes a map that may be nil.
func (e *encoder) counts(by map[string]int) {
	if by == nil {
		e.uint(0)
		return
	}
	e.count(len(by) + 1)
	for _, key := range slices.Sorted(maps.Keys(by)) {
		e.text(key)
		e.int(int64(by[key]))
	}
}

// float writes a number; round ones take few bytes.
func (e *encoder) float(f float64) { e.uint(bits.ReverseBytes64(math.Float64bits(f))) }

// metrics reads what encoder.metrics wrote.
func (d *decoder) metrics() *structs.AllocationMetric {
	switch n := d.uint(); n {
	case noBlob:
		return nil
	case newBlob:
		var m *structs.AllocationMetric
		if size := d.count(1); size > 0 {
			m = readMsgpack[structs.AllocationMetric](d, size)
		} else {
			m = d.metric()
		}
		if m != nil {
			d.blobs = append(d.blobs, m)
		}
		return m
	default:
		if n-oldBlob < uint64(len(d.blobs)) {
			if m, ok := d.blobs[n-oldBlob].(*structs.AllocationMetric); ok {
				return m
			}
		}
		d.fail(errShort)
		return nil
	}
}

func (d *decoder) metric() *structs.AllocationMetric {
	m, took := &structs.AllocationMetric{}, 0
	for _, n := range []*int{&m.NodesEvaluated, &m.NodesFiltered, &m.NodesInPool, &m.NodesExhausted, &m.CoalescedFailures, &took} {
		*n = int(d.int())
	}
	m.AllocationTime = time.Duration(took)
	m.NodePool = d.text()
	for _, by := range []*map[string]int{&m.NodesAvailable, &m.ClassFiltered, &m.ConstraintFiltered, &m.ClassExhausted, &m.DimensionExhausted} {
		*by = d.counts()
	}
	if n := d.count(3); n > 0 {
		metas := make([]structs.NodeScoreMeta, n)
		m.ScoreMetaData = make([]*structs.NodeScoreMeta, n)
		for i := range metas {
			d.score(&metas[i])
			m.ScoreMetaData[i] = &metas[i]
		}
	}
	if more := readObject[structs.AllocationMetric](d); more != nil {
		m.QuotaExhausted, m.ResourcesExhausted, m.Scores = more.QuotaExhausted, more.ResourcesExhausted, more.Scores
	}
	return m
}

func (d *decoder) score(s *structs.NodeScoreMeta) {
	s.NodeID, s.NormScore = d.text(), d.float()
	if n := d.count(2); n > 0 {
		s.Scores = make(structs.ScoreParts, n)
		for i := range s.Scores {
			s.Scores[i].Name, s.Scores[i].Value = d.text(), d.float()
		}
	}
}

func (d *decoder) counts() map[string]int {
	n := d.uint()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(len(d.in)/2) {
		d.fail(errShort)
		return nil
	}
	out := make(map[string]int, n-1)
	for range n - 1 {
		key := d.text()
		out[key] = int(d.int())
	}
	return out
}

func (d *decoder) float() float64 { return math.Float64frombits(bits.ReverseBytes64(d.uint())) }
