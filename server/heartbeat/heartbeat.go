// Package heartbeat watches over nodes: each must be heard of within its time
// to live, else it is reported once as expired.
//
// It must not know what happens to an expired node, nor any clock: who calls
// it says what time it is. Begin reading at Tracker, then Brake (brake.go), which
// tells a few nodes that are gone from many that can't be heard.
package heartbeat

import (
	"container/heap"
	"slices"
	"sync"
	"time"
)

// Options sets the time to live.
type Options struct {
	// MinTTL is the shortest time to live.
	MinTTL time.Duration
	// PerSecond is how many heartbeats a second are wanted at most: it
	// stretches the time to live when there are many nodes.
	PerSecond int
	// Grace is what a node gets beyond its time to live.
	Grace time.Duration
	// FirstTTL is the least that a new leader gives every node at first.
	FirstTTL time.Duration
	// Tick is how often the tracker is looked at, at least: what it hears after twice
	// as long it hears late, because all of the server stood still or its clock was
	// set. 0: that isn't noticed.
	Tick time.Duration
}

// Tracker holds the deadline of each node. It is safe for concurrent use.
type Tracker struct {
	opts Options

	mu    sync.Mutex
	nodes map[string]*deadline
	queue deadlines
	// seen is what time it was last, stood by how much deadlines were moved since
	// Stood was asked.
	seen  time.Time
	stood time.Duration
}

type deadline struct {
	nodeID string
	at     time.Time
	idx    int
	// heard is when the node was last heard of, zero if this tracker never has.
	heard time.Time
	// idle is set for a node that is known to be silent and only looked at again.
	idle bool
}

// New returns a tracker without nodes.
func New(opts Options) *Tracker {
	return &Tracker{opts: opts, nodes: map[string]*deadline{}}
}

// Beat notes that a node was heard of and returns its time to live.
func (t *Tracker) Beat(nodeID string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look(now)
	return t.renew(deadline{nodeID: nodeID, heard: now}, now)
}

// Watch has a silent node looked at again after a time to live.
func (t *Tracker) Watch(nodeID string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look(now)
	t.renew(deadline{nodeID: nodeID, idle: true}, now)
}

// Reset forgets all nodes and gives the named ones a fresh, full time to live: a
// new leader doesn't know when they were last heard of. It is as long as it was
// when there were so many nodes: that may be what they were last told.
func (t *Tracker) Reset(nodeIDs []string, many int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes = make(map[string]*deadline, len(nodeIDs))
	t.queue, t.seen = nil, now
	for _, id := range nodeIDs {
		d := &deadline{nodeID: id, idx: len(t.queue)}
		t.nodes[id] = d
		t.queue = append(t.queue, d)
	}
	// All deadlines are equal, so any order is a heap.
	at := now.Add(max(t.ttl(max(many, len(nodeIDs))), t.opts.FirstTTL) + t.opts.Grace)
	for _, d := range t.queue {
		d.at = at
	}
}

// Stood looks what time it is and returns by how much all deadlines were moved
// since it was asked last: for as long as the server stood still nobody could be
// heard, and a clock that is set makes nobody older.
func (t *Tracker) Stood(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look(now)
	d := t.stood
	t.stood = 0
	return d
}

// look moves the deadlines if time has leapt.
func (t *Tracker) look(now time.Time) {
	leap := now.Sub(t.seen)
	if t.opts.Tick > 0 && !t.seen.IsZero() && (leap < 0 || leap > 2*t.opts.Tick) {
		t.stood += leap
		for _, d := range t.queue {
			d.at = d.at.Add(leap) // equally, so it stays a heap
			if !d.heard.IsZero() {
				d.heard = d.heard.Add(leap)
			}
		}
	}
	t.seen = now
}

// Forget stops watching a node.
func (t *Tracker) Forget(nodeID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.nodes[nodeID]; d != nil {
		heap.Remove(&t.queue, d.idx)
		delete(t.nodes, nodeID)
	}
}

// Expired returns, sorted, the nodes whose deadline has passed; they are
// watched no longer.
func (t *Tracker) Expired(now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look(now)
	var out []string
	for len(t.queue) > 0 && !t.queue[0].at.After(now) {
		d := heap.Pop(&t.queue).(*deadline)
		delete(t.nodes, d.nodeID)
		out = append(out, d.nodeID)
	}
	slices.Sort(out)
	return out
}

// Next returns the earliest deadline.
func (t *Tracker) Next() (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return time.Time{}, false
	}
	return t.queue[0].at, true
}

// Len is how many nodes are watched.
func (t *Tracker) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.nodes)
}

func (t *Tracker) renew(next deadline, now time.Time) time.Duration {
	d := t.nodes[next.nodeID]
	fresh := d == nil
	if fresh {
		d = &deadline{}
		t.nodes[next.nodeID] = d
	}
	ttl := t.ttl(len(t.nodes))
	next.idx, next.at = d.idx, now.Add(ttl+t.opts.Grace)
	*d = next
	if fresh {
		heap.Push(&t.queue, d)
	} else {
		heap.Fix(&t.queue, d.idx)
	}
	return ttl
}

// Window is how long it takes until a node that falls silent has expired.
func (t *Tracker) Window() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ttl(len(t.nodes)) + t.opts.Grace
}

// ttl is the time to live where there are so many nodes.
func (t *Tracker) ttl(nodes int) time.Duration {
	ttl := t.opts.MinTTL
	if t.opts.PerSecond > 0 {
		stretched := time.Duration(nodes) * time.Second / time.Duration(t.opts.PerSecond)
		ttl = max(ttl, stretched)
	}
	return ttl
}

// deadlines is a heap, the earliest first.
type deadlines []*deadline

func (q deadlines) Len() int           { return len(q) }
func (q deadlines) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

func (q deadlines) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].idx, q[j].idx = i, j
}

// Push implements heap.Interface.
func (q *deadlines) Push(x any) {
	d := x.(*deadline)
	d.idx = len(*q)
	*q = append(*q, d)
}

// Pop implements heap.Interface.
func (q *deadlines) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	*q = (*q)[:last]
	return d
}
