package virtual

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

// Machine is where coroutines run that end together: when it is killed, none of
// them takes another step. It is a loop.Runtime and a clock.Clock for them.
type Machine struct {
	r        *Runtime
	name     string
	routines []*routine
	dead     bool
	// frozen machines get no turn; their time stands still in no other way.
	frozen bool
	held   []*routine
	// ahead is how far its clock is ahead of the true time.
	ahead time.Duration
}

// Machine returns a new machine.
func (r *Runtime) Machine(name string) *Machine { return &Machine{r: r, name: name} }

// routine is one coroutine.
type routine struct {
	machine *Machine
	name    string
	next    func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	wait    wait
}

// wait is what a coroutine waits for.
type wait struct {
	on    bool
	ctx   context.Context
	wakes []<-chan struct{}
	// id tells this wait from earlier ones of the coroutine, whose timers may
	// still be set.
	id     uint64
	result int
}

// killed unwinds a coroutine whose machine was killed.
type killed struct{}

// Name of the machine.
func (m *Machine) Name() string { return m.name }

// Dead reports whether the machine was killed.
func (m *Machine) Dead() bool { return m.dead }

// Context is a context under which code runs on this machine.
func (m *Machine) Context() context.Context { return loop.Under(context.Background(), m) }

// Now implements clock.Clock.
func (m *Machine) Now() time.Time { return m.r.now.Add(m.ahead) }

// SetAhead sets the machine's clock: so far ahead of the true time from now on,
// or behind it. How long it takes for time to pass doesn't change.
func (m *Machine) SetAhead(d time.Duration) { m.ahead = d }

// NewTimer implements clock.Clock. Code that waits for a timer by itself would
// hold up every machine.
func (m *Machine) NewTimer(time.Duration) clock.Timer {
	panic("virtual: wait through package loop, not on a timer")
}

// Go implements loop.Runtime.
func (m *Machine) Go(name string, f func()) {
	if m.dead {
		return
	}
	t := &routine{machine: m, name: name}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer func() {
			if over := recover(); over != nil {
				if _, ok := over.(killed); !ok {
					panic(over)
				}
			}
		}()
		if m.dead {
			return
		}
		f()
	})
	m.routines = append(m.routines, t)
	m.makeReady(t)
}

// Wait implements loop.Runtime.
func (m *Machine) Wait(ctx context.Context, d time.Duration, wakes []<-chan struct{}) int {
	t := m.r.running
	switch {
	case m.dead:
		panic(killed{})
	case t == nil || t.machine != m:
		panic("virtual: a wait on machine " + m.name + " outside of its turn")
	}
	m.r.seq++
	t.wait = wait{on: true, ctx: ctx, wakes: wakes, id: m.r.seq}
	if d != 0 {
		id := t.wait.id
		m.r.After(d, func() { m.elapsed(t, id) })
	}
	if !t.yield(struct{}{}) || m.dead {
		panic(killed{})
	}
	return t.wait.result
}

// WithTimeout implements loop.Runtime.
func (m *Machine) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancel(parent)
	ctx := &limited{Context: inner}
	m.r.After(d, func() {
		if inner.Err() == nil {
			ctx.over = true
			cancel()
			m.look()
		}
	})
	return ctx, cancel
}

// limited is a context that says why it ended.
type limited struct {
	context.Context
	over bool
}

// Err implements context.Context.
func (c *limited) Err() error {
	if c.over {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// Look has the machine's coroutines look whether what they wait for has come,
// after something from outside may have given it.
func (m *Machine) Look() { m.look() }

// Kill ends everything that runs on the machine, at once. It may be called from
// one of the machine's own coroutines, which then doesn't return.
func (m *Machine) Kill() {
	m.dead = true
	own := m.r.running
	for _, t := range slices.Clone(m.routines) {
		if t != own {
			t.stop()
		}
	}
	m.routines, m.held = nil, nil
	if own != nil && own.machine == m {
		panic(killed{})
	}
}

// Freeze stops the machine's turns, Thaw lets it go on where it was.
func (m *Machine) Freeze() { m.frozen = true }

// Frozen reports whether the machine's turns are stopped.
func (m *Machine) Frozen() bool { return m.frozen }

// Thaw ends Freeze.
func (m *Machine) Thaw() {
	m.frozen = false
	held := m.held
	m.held = nil
	for _, t := range held {
		m.makeReady(t)
	}
	m.look()
}

// makeReady queues a coroutine for its turn.
func (m *Machine) makeReady(t *routine) {
	t.wait.on = false
	if m.frozen {
		m.held = append(m.held, t)
		return
	}
	m.r.ready = append(m.r.ready, t)
}

func (m *Machine) elapsed(t *routine, id uint64) {
	if !m.dead && t.wait.on && t.wait.id == id {
		t.wait.result = loop.Elapsed
		m.makeReady(t)
	}
}

// look finds the coroutines whose wait is over.
func (m *Machine) look() {
	if m.dead || m.frozen {
		return
	}
	for _, t := range m.routines {
		if t.wait.on && t.wait.over() {
			m.makeReady(t)
		}
	}
}

// over reports whether what is waited for has come, and takes it.
func (w *wait) over() bool {
	if w.ctx.Err() != nil {
		w.result = loop.Elapsed
		return true
	}
	for i, wake := range w.wakes {
		select {
		case <-wake:
			w.result = i
			return true
		default:
		}
	}
	return false
}

func (m *Machine) forget(t *routine) {
	if i := slices.Index(m.routines, t); i >= 0 {
		m.routines = slices.Delete(m.routines, i, i+1)
	}
}
