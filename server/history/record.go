package history

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/steppe-run/steppe/internal/wire"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// item is an object that left the state, on its way to the disk.
type item struct {
	at    Position
	time  int64
	gone  bool
	event feed.Event
}

// kinds of records, as bits of a frame's head and as numbers on disk: never
// change what one means.
const (
	kindJob        = 1
	kindEvaluation = 2
	kindAllocation = 4
	kindDeployment = 8
)

func kindName(kind uint8) string {
	switch kind {
	case kindJob:
		return structs.HistoryJob
	case kindEvaluation:
		return structs.HistoryEvaluation
	case kindAllocation:
		return structs.HistoryAllocation
	}
	return structs.HistoryDeployment
}

func kindNumber(name string) (uint8, bool) {
	for _, k := range []uint8{kindJob, kindEvaluation, kindAllocation, kindDeployment} {
		if kindName(k) == name {
			return k, true
		}
	}
	return 0, false
}

// recordHead is what is asked about a record. Its names are on disk.
type recordHead struct {
	Kind      uint8    `codec:"k"`
	Namespace string   `codec:"n"`
	JobID     string   `codec:"j"`
	ID        string   `codec:"d"`
	Status    string   `codec:"s"`
	Version   uint64   `codec:"v"`
	Gone      bool     `codec:"g"`
	At        Position `codec:"p"`
	Time      int64    `codec:"t"`
}

// record is an object with its head.
type record struct {
	head recordHead
	body any          // *structs.Job, Evaluation, Allocation (without its job) or Deployment
	job  *structs.Job // an allocation's
	raw  []byte       // the body, as it was read
	from *frameJobs   // the jobs of the frame it was read from
	ref  int          // the allocation's job among them, from 1
}

func (i *item) record() *record { return recordOf(i.event.Old(), i.at, i.time, i.gone) }

// recordOf returns the record of an object, nil if it is none that is kept.
func recordOf(object any, at Position, time int64, gone bool) *record {
	r := &record{head: recordHead{At: at, Time: time, Gone: gone}, body: object}
	h := &r.head
	switch o := object.(type) {
	case *structs.Job:
		h.Kind, h.Namespace, h.JobID, h.ID, h.Status, h.Version = kindJob, o.GetNamespace(), o.GetID(), o.GetID(), o.GetStatus(), o.GetVersion()
	case *structs.Evaluation:
		h.Kind, h.Namespace, h.JobID, h.ID, h.Status = kindEvaluation, o.Namespace, o.JobID, o.ID, o.Status
	case *structs.Deployment:
		h.Kind, h.Namespace, h.JobID, h.ID, h.Status = kindDeployment, o.Namespace, o.JobID, o.ID, o.Status
		h.Version = o.JobVersion
	case *structs.Allocation:
		h.Kind, h.Namespace, h.JobID, h.ID, h.Status = kindAllocation, o.Namespace, o.JobID, o.ID, o.ClientStatus
		if o.Job != nil {
			h.Version = o.Job.GetVersion()
		}
		bare := *o
		r.job, bare.Job = o.Job, nil
		r.body = &bare
	default:
		return nil
	}
	return r
}

// entry returns what callers see of a record.
func (r *record) entry(object bool) (*structs.HistoryEntry, error) {
	h := &r.head
	e := &structs.HistoryEntry{
		Kind: kindName(h.Kind), Namespace: h.Namespace, JobID: h.JobID, ID: h.ID, Version: h.Version, Status: h.Status,
		Gone: h.Gone, RemovedAt: h.Time, Index: h.At.Index, Seq: h.At.Seq,
	}
	if !object {
		return e, nil
	}
	if r.body == nil {
		if err := r.read(); err != nil {
			return nil, err
		}
	}
	switch o := r.body.(type) {
	case *structs.Job:
		e.Job = o
	case *structs.Evaluation:
		e.Evaluation = o
	case *structs.Deployment:
		e.Deployment = o
	case *structs.Allocation:
		whole := *o
		whole.Job = r.job
		e.Allocation = &whole
	}
	return e, nil
}

// read decodes the body that was found on disk.
func (r *record) read() error {
	var err error
	switch r.head.Kind {
	case kindJob:
		r.body, err = decoded[structs.Job](r.raw)
	case kindEvaluation:
		r.body, err = decoded[structs.Evaluation](r.raw)
	case kindDeployment:
		r.body, err = decoded[structs.Deployment](r.raw)
	case kindAllocation:
		if r.body, err = decoded[structs.Allocation](r.raw); err == nil {
			r.job, err = r.from.job(r.ref)
		}
	default:
		err = fmt.Errorf("records of kind %d are not known to this version", r.head.Kind)
	}
	return err
}

func decoded[T any](raw []byte) (*T, error) {
	v := new(T)
	if err := wire.Unmarshal(raw, v); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return v, nil
}

// A frame's content is the jobs that its allocations run, then its records, each
// as a head, the number of its job and a body; every part has its length before
// it.

// encodeRecords returns the content of a frame.
func encodeRecords(records []*record) ([]byte, error) {
	refs := map[*structs.Job]int{}
	var jobs []*structs.Job
	for _, r := range records {
		if r.job != nil && refs[r.job] == 0 {
			jobs = append(jobs, r.job)
			refs[r.job] = len(jobs)
		}
	}
	out := binary.AppendUvarint(nil, uint64(len(jobs)))
	var err error
	for _, j := range jobs {
		if out, err = appendPart(out, j); err != nil {
			return nil, err
		}
	}
	for _, r := range records {
		if out, err = appendPart(out, &r.head); err != nil {
			return nil, err
		}
		out = binary.AppendUvarint(out, uint64(refs[r.job]))
		if out, err = appendPart(out, r.body); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func appendPart(out []byte, v any) ([]byte, error) {
	data, err := wire.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write history: %w", err)
	}
	out = binary.AppendUvarint(out, uint64(len(data)))
	return append(out, data...), nil
}

// frameJobs are the jobs of a frame, read when one is asked for.
type frameJobs struct {
	raw  [][]byte
	jobs []*structs.Job
}

func (f *frameJobs) job(ref int) (*structs.Job, error) {
	if ref == 0 {
		return nil, nil
	}
	if ref < 0 || ref > len(f.raw) {
		return nil, errShort
	}
	if f.jobs[ref-1] == nil {
		j, err := decoded[structs.Job](f.raw[ref-1])
		if err != nil {
			return nil, err
		}
		f.jobs[ref-1] = j
	}
	return f.jobs[ref-1], nil
}

var errShort = errors.New("read history: a frame ends in the middle of a record")

// decodeRecords reads the heads of a frame's records; the bodies are read when
// they are asked for. It takes any bytes.
func decodeRecords(data []byte) ([]*record, error) {
	p := parts{rest: data}
	jobs := &frameJobs{}
	for n := p.number(); n > 0 && p.err == nil; n-- {
		jobs.raw = append(jobs.raw, p.part())
	}
	jobs.jobs = make([]*structs.Job, len(jobs.raw))
	var out []*record
	for len(p.rest) > 0 && p.err == nil {
		head := p.part()
		ref := p.number()
		r := &record{from: jobs, ref: int(min(ref, 1<<31)), raw: p.part()}
		if p.err != nil {
			break
		}
		if err := wire.Unmarshal(head, &r.head); err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		out = append(out, r)
	}
	return out, p.err
}

// parts reads what is written with its length before it.
type parts struct {
	rest []byte
	err  error
}

func (p *parts) number() uint64 {
	n, size := binary.Uvarint(p.rest)
	if size <= 0 || p.err != nil {
		p.err = errShort
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

func (p *parts) part() []byte {
	n := p.number()
	if p.err != nil || n > uint64(len(p.rest)) {
		p.err = errShort
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}
