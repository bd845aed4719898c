// Package virtual runs the programs of many machines in one goroutine at a time,
// on a clock that moves only when none of them has anything to do.
//
// Each function that a machine's code starts is a coroutine. It runs until it
// waits (loop.Wait, a Group's end, or Machine.Wait), then another one's turn
// comes: which one, a seeded source of chance decides. So one seed is one
// history, and a different seed another order of the same steps.
//
// It must not know what the machines do. Begin reading at Runtime, then Machine.
package virtual

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// Runtime is the time and the turn of all machines.
type Runtime struct {
	now    time.Time
	random *rand.Rand
	timers timers
	seq    uint64
	ready  []*routine
	// running is whose turn it is; nil between two turns.
	running *routine
	steps   int
	// urgent is done before anything else.
	urgent []func()
}

// New returns a runtime whose clock stands at start.
func New(start time.Time, random *rand.Rand) *Runtime {
	return &Runtime{now: start, random: random}
}

// Now is the virtual time.
func (r *Runtime) Now() time.Time { return r.now }

// Steps counts the turns taken so far.
func (r *Runtime) Steps() int { return r.steps }

// After has f called in d, between two turns; f must not wait.
func (r *Runtime) After(d time.Duration, f func()) {
	r.push(&timer{at: r.now.Add(max(d, 0)), fire: f})
}

// Next has f called before anybody takes another turn.
func (r *Runtime) Next(f func()) { r.urgent = append(r.urgent, f) }

// Idle reports whether nothing can be done at this moment.
func (r *Runtime) Idle() bool { return len(r.ready) == 0 }

// Step takes one turn, or moves the clock to what comes next, but not beyond
// until. It reports whether there was anything to do.
func (r *Runtime) Step(until time.Time) bool {
	for len(r.urgent) > 0 {
		f := r.urgent[0]
		r.urgent = r.urgent[1:]
		f()
	}
	if len(r.ready) > 0 {
		r.turn()
		return true
	}
	if len(r.timers) == 0 || r.timers[0].at.After(until) {
		r.now = until
		return false
	}
	r.now = r.timers[0].at
	for len(r.timers) > 0 && len(r.urgent) == 0 && r.timers[0].at.Equal(r.now) { // whose turn is first is up to chance
		heap.Pop(&r.timers).(*timer).fire()
	}
	return true
}

// Run steps until the clock has come to until.
func (r *Runtime) Run(until time.Time) {
	for r.Step(until) {
	}
}

// turn lets one of those run who can.
func (r *Runtime) turn() {
	i := r.random.IntN(len(r.ready))
	last := len(r.ready) - 1
	next := r.ready[i]
	r.ready[i] = r.ready[last]
	r.ready = r.ready[:last]
	if next.machine.dead {
		return // it was ended meanwhile
	}
	r.steps++
	r.resume(next)
	next.machine.look()
}

func (r *Runtime) resume(t *routine) {
	if r.running != nil {
		panic(fmt.Sprintf("virtual: %s is resumed in the turn of %s", t.name, r.running.name))
	}
	r.running = t
	_, alive := t.next()
	r.running = nil
	if !alive {
		t.machine.forget(t)
	}
}

func (r *Runtime) push(t *timer) {
	r.seq++
	t.seq = r.seq
	heap.Push(&r.timers, t)
}

// timer is one thing to happen.
type timer struct {
	at   time.Time
	seq  uint64
	fire func()
}

// timers is a heap, the earliest first; of equals the one set first.
type timers []*timer

func (q timers) Len() int { return len(q) }
func (q timers) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q timers) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *timers) Push(x any) { *q = append(*q, x.(*timer)) }

// Pop implements heap.Interface.
func (q *timers) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return t
}
