package broker

import (
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Options bounds a queue. Zero fields mean the default.
type Options struct {
	// DeliveryLimit is how often an evaluation is handed out before it is
	// given up. Default 3.
	DeliveryLimit int
	// FirstRetry is waited after the first failed delivery, LaterRetry after
	// each further one. Defaults 1 s and 20 s.
	FirstRetry, LaterRetry time.Duration
	// Limit is how many evaluations are held. What comes beyond it is refused
	// and must be offered again, once Missed reports so. Default 1,000,000.
	Limit int
}

func (o Options) withDefaults() Options {
	if o.DeliveryLimit == 0 {
		o.DeliveryLimit = 3
	}
	if o.FirstRetry == 0 {
		o.FirstRetry = time.Second
	}
	if o.LaterRetry == 0 {
		o.LaterRetry = 20 * time.Second
	}
	if o.Limit == 0 {
		o.Limit = 1_000_000
	}
	return o
}

// Delivery is one evaluation handed out.
type Delivery struct {
	Eval *structs.Evaluation
	// Attempt counts from 1.
	Attempt int
}

// Queue is the broker's memory. It is a plain value without clock, lock or
// goroutine: who calls it says what time it is.
type Queue struct {
	opts  Options
	known map[string]*item
	jobs  map[structs.NamespacedID]*jobQueue

	ready   heapOf[*item]
	delayed heapOf[*item]
	running int

	superseded map[string]*structs.Evaluation
	dead       map[string]*structs.Evaluation
	missed     bool
	seq        uint64
}

// where an item is.
type place int

const (
	placeWaiting place = iota // behind another evaluation of its job
	placeReady
	placeDelayed
	placeRunning
)

type item struct {
	eval     *structs.Evaluation
	place    place
	due      time.Time // when delayed
	attempts int
	seq      uint64
	heapIdx  int
	// again holds a newer form of the evaluation that came while it ran.
	again *structs.Evaluation
}

// jobQueue serialises the evaluations of one job: one is ready or running, the
// others wait.
type jobQueue struct {
	head    *item
	waiting []*item
}

// NewQueue returns an empty queue.
func NewQueue(opts Options) *Queue {
	return &Queue{
		opts:       opts.withDefaults(),
		known:      map[string]*item{},
		jobs:       map[structs.NamespacedID]*jobQueue{},
		ready:      heapOf[*item]{less: readyBefore, move: setIdx},
		delayed:    heapOf[*item]{less: dueBefore, move: setIdx},
		superseded: map[string]*structs.Evaluation{},
		dead:       map[string]*structs.Evaluation{},
	}
}

// Enqueue takes an evaluation. One that is known already is ignored, unless it
// runs and this form of it is newer: then it will run again.
func (q *Queue) Enqueue(eval *structs.Evaluation, now time.Time) {
	if it, ok := q.known[eval.ID]; ok {
		if it.place == placeRunning && eval.ModifyIndex > it.eval.ModifyIndex {
			it.again = eval
		}
		return
	}
	if q.superseded[eval.ID] != nil || q.dead[eval.ID] != nil {
		return
	}
	if len(q.known) >= q.opts.Limit {
		q.missed = true
		return
	}
	q.seq++
	it := &item{eval: eval, seq: q.seq, due: eval.WaitUntil}
	if it.due.IsZero() && eval.Wait > 0 {
		it.due = now.Add(eval.Wait)
	}
	q.known[eval.ID] = it
	q.admit(it, now)
}

// Forget drops an evaluation that ended by another road. One that runs is
// left to whoever runs it.
func (q *Queue) Forget(id string) {
	delete(q.superseded, id)
	delete(q.dead, id)
	it, ok := q.known[id]
	if !ok || it.place == placeRunning {
		return
	}
	delete(q.known, id)
	switch it.place {
	case placeDelayed:
		q.delayed.remove(it.heapIdx)
	case placeReady:
		q.ready.remove(it.heapIdx)
		q.release(it)
	default:
		q.jobs[it.eval.JobNamespacedID()].drop(it)
	}
}

// Take hands out up to limit evaluations, the highest priority first, then the
// oldest; each of another job.
func (q *Queue) Take(limit int, now time.Time) []Delivery {
	q.wakeDue(now)
	var out []Delivery
	for len(out) < limit && q.ready.len() > 0 {
		it := q.ready.pop()
		it.place = placeRunning
		it.attempts++
		q.running++
		out = append(out, Delivery{Eval: it.eval, Attempt: it.attempts})
	}
	return out
}

// Ack ends a delivery well. The next evaluation of the job comes up; those it
// supersedes can be drawn from Superseded.
func (q *Queue) Ack(id string, now time.Time) {
	it := q.finish(id)
	if it == nil {
		return
	}
	delete(q.known, id)
	q.release(it)
	if it.again != nil {
		q.Enqueue(it.again, now)
	}
}

// Nack ends a delivery badly: it is retried later, or given up at the limit.
func (q *Queue) Nack(id string, now time.Time) {
	it := q.finish(id)
	if it == nil {
		return
	}
	if it.again != nil {
		it.eval, it.again = it.again, nil
	}
	q.release(it)
	if it.attempts >= q.opts.DeliveryLimit {
		delete(q.known, id)
		q.dead[id] = it.eval
		return
	}
	wait := q.opts.FirstRetry
	if it.attempts > 1 {
		wait = q.opts.LaterRetry
	}
	it.due = now.Add(wait)
	q.delay(it)
}

// Superseded lists evaluations that need not run, because a later one of their
// job does. They stay listed until they are forgotten.
func (q *Queue) Superseded() []*structs.Evaluation { return values(q.superseded) }

// Dead lists evaluations that were given up. They stay listed until they are
// forgotten.
func (q *Queue) Dead() []*structs.Evaluation { return values(q.dead) }

// Missed reports, once, that evaluations were refused for lack of room and
// that there is room again: they must be offered again.
func (q *Queue) Missed() bool {
	if !q.missed || len(q.known) > q.opts.Limit/2 {
		return false
	}
	q.missed = false
	return true
}

// NextDue returns when the next delayed evaluation is due.
func (q *Queue) NextDue() (time.Time, bool) {
	if q.delayed.len() == 0 {
		return time.Time{}, false
	}
	return q.delayed.top().due, true
}

// Stats counts what the queue holds.
type Stats struct {
	Ready, Waiting, Delayed, Running, Superseded, Dead int
}

// Stats counts what the queue holds.
func (q *Queue) Stats() Stats {
	s := Stats{
		Ready: q.ready.len(), Delayed: q.delayed.len(), Running: q.running,
		Superseded: len(q.superseded), Dead: len(q.dead),
	}
	s.Waiting = len(q.known) - s.Ready - s.Delayed - s.Running
	return s
}

// admit puts an item where it belongs: delayed, ready or behind its job's.
func (q *Queue) admit(it *item, now time.Time) {
	if it.due.After(now) {
		q.delay(it)
		return
	}
	key := it.eval.JobNamespacedID()
	jq := q.jobs[key]
	if jq == nil {
		jq = &jobQueue{}
		q.jobs[key] = jq
	}
	if jq.head != nil {
		it.place = placeWaiting
		jq.waiting = append(jq.waiting, it)
		return
	}
	jq.head = it
	it.place = placeReady
	q.ready.push(it)
}

func (q *Queue) delay(it *item) {
	it.place = placeDelayed
	q.delayed.push(it)
}

func (q *Queue) wakeDue(now time.Time) {
	for q.delayed.len() > 0 && !q.delayed.top().due.After(now) {
		q.admit(q.delayed.pop(), now)
	}
}

// finish takes a running item out of the running ones.
func (q *Queue) finish(id string) *item {
	it, ok := q.known[id]
	if !ok || it.place != placeRunning {
		return nil
	}
	q.running--
	return it
}

// release frees the job's slot that it held and lets the next one in.
func (q *Queue) release(it *item) {
	key := it.eval.JobNamespacedID()
	jq := q.jobs[key]
	jq.head = nil
	if len(jq.waiting) == 0 {
		delete(q.jobs, key)
		return
	}
	next := jq.waiting[0]
	for _, w := range jq.waiting[1:] {
		if supersedes(w, next) {
			next = w
		}
	}
	for _, w := range jq.waiting {
		if w != next {
			delete(q.known, w.eval.ID)
			q.superseded[w.eval.ID] = w.eval
		}
	}
	jq.waiting = nil
	jq.head = next
	next.place = placeReady
	q.ready.push(next)
}

func (j *jobQueue) drop(it *item) {
	for i, w := range j.waiting {
		if w == it {
			j.waiting = append(j.waiting[:i], j.waiting[i+1:]...)
			return
		}
	}
}

// supersedes reports whether a, of two evaluations that wait for one job,
// should run rather than b: each looks at the whole job, so one is enough.
func supersedes(a, b *item) bool {
	if a.eval.Priority != b.eval.Priority {
		return a.eval.Priority > b.eval.Priority
	}
	if a.eval.CreateIndex != b.eval.CreateIndex {
		return a.eval.CreateIndex > b.eval.CreateIndex
	}
	return a.seq > b.seq
}

func readyBefore(a, b *item) bool {
	if a.eval.Priority != b.eval.Priority {
		return a.eval.Priority > b.eval.Priority
	}
	if a.eval.CreateIndex != b.eval.CreateIndex {
		return a.eval.CreateIndex < b.eval.CreateIndex
	}
	return a.seq < b.seq
}

func dueBefore(a, b *item) bool {
	if !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	return a.seq < b.seq
}

func setIdx(it *item, i int) { it.heapIdx = i }

func values(m map[string]*structs.Evaluation) []*structs.Evaluation {
	out := make([]*structs.Evaluation, 0, len(m))
	for _, e := range m {
		out = append(out, e)
	}
	return out
}
