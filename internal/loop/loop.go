// Package loop owns goroutines. Every goroutine of Steppe belongs to a Group,
// and the owner of the Group waits for it: nothing is started and forgotten.
//
// What waits for time or for others does so through Wait, so that a Runtime can
// take the place of Go's scheduler: the simulator's runs the code of a whole
// region one step after the other.
//
// It must not know any noun of the field. Begin reading at Group, then Runtime.
package loop

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Group runs functions side by side under one context. The first failure
// cancels the context of all; Wait returns when the last one has ended.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	// runtime is the context's, nil for Go's own. It is told of the end of each
	// function by ended, since it can't wait for a sync.WaitGroup.
	runtime Runtime
	ended   chan struct{}

	mu      sync.Mutex
	running int
	err     error
}

// New returns a group whose functions run under a child of ctx.
func New(ctx context.Context) *Group {
	child, cancel := context.WithCancelCause(ctx)
	return &Group{ctx: child, cancel: cancel, runtime: runtimeOf(ctx), ended: make(chan struct{}, 1)}
}

// Context is the context that the group's functions receive.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f. An error other than the group's own cancellation ends the whole
// group and is what Wait returns, prefixed with name.
func (g *Group) Go(name string, f func(context.Context) error) {
	if g.runtime != nil {
		g.count(1)
		g.runtime.Go(name, func() {
			defer g.count(-1)
			g.run(name, f)
		})
		return
	}
	g.wg.Go(func() { g.run(name, f) })
}

func (g *Group) run(name string, f func(context.Context) error) {
	err := f(g.ctx)
	if err == nil || errors.Is(err, context.Canceled) && g.ctx.Err() != nil {
		return
	}
	g.fail(fmt.Errorf("%s: %w", name, err))
}

// count notes that a function began or ended.
func (g *Group) count(n int) {
	g.mu.Lock()
	g.running += n
	g.mu.Unlock()
	select {
	case g.ended <- struct{}{}:
	default: // it was told already
	}
}

func (g *Group) left() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}

// Stop asks every function to end; it doesn't wait.
func (g *Group) Stop() { g.cancel(context.Canceled) }

// Wait blocks until every function has ended and returns the first failure.
func (g *Group) Wait() error {
	for g.runtime != nil && g.left() > 0 {
		g.runtime.Wait(context.WithoutCancel(g.ctx), 0, []<-chan struct{}{g.ended})
	}
	g.wg.Wait()
	g.cancel(context.Canceled)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *Group) fail(err error) {
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.mu.Unlock()
	g.cancel(err)
}
