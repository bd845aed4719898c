package periodic

import (
	"cmp"
	"container/heap"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// entry is one periodic job and when it is launched next.
type entry struct {
	key      structs.NamespacedID
	modified uint64 // the specification that this follows from
	until    int64  // how far its launches were settled
	from     time.Time
	schedule *structs.Schedule
	next     time.Time
	at       int // its place in the queue
}

// entryOf makes the entry of a job, nil if there is nothing to launch. Launches
// count from when the specification was submitted: what it would have launched
// before was not missed.
func entryOf(v View, key structs.NamespacedID) *entry {
	j := v.Job(key.Namespace, key.ID)
	if j == nil || !j.IsPeriodicActive() {
		return nil
	}
	e := &entry{key: key, modified: j.GetJobModifyIndex(), until: v.LaunchedUntil(key.Namespace, key.ID)}
	e.from = time.Unix(0, structs.Value(j.SubmitTime))
	if settled := time.Unix(e.until, 0); settled.After(e.from) {
		e.from = settled
	}
	var err error
	if e.schedule, err = j.Periodic.Schedule(); err != nil {
		return nil // it was refused when it was submitted
	}
	if e.next = e.schedule.Next(e.from); e.next.IsZero() {
		return nil
	}
	return e
}

// current reports whether the job is still as the entry says.
func (e *entry) current(v View) bool {
	j := v.Job(e.key.Namespace, e.key.ID)
	return j != nil && j.IsPeriodicActive() && j.GetJobModifyIndex() == e.modified && v.LaunchedUntil(e.key.Namespace, e.key.ID) == e.until
}

// queue is entries by the time of their next launch. It implements
// heap.Interface.
type queue []*entry

var _ heap.Interface = (*queue)(nil)

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	return cmp.Or(a.next.Compare(b.next), cmp.Compare(a.key.Namespace, b.key.Namespace), cmp.Compare(a.key.ID, b.key.ID)) < 0
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.at = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
