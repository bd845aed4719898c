// Package loop owns goroutines. Every goroutine of Steppe belongs to a Group,
// and the owner of the Group waits for it: nothing is started and forgotten.
//
// It must not know any noun of the field. Begin reading at Group.
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

	mu  sync.Mutex
	err error
}

// New returns a group whose functions run under a child of ctx.
func New(ctx context.Context) *Group {
	child, cancel := context.WithCancelCause(ctx)
	return &Group{ctx: child, cancel: cancel}
}

// Context is the context that the group's functions receive.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f. An error other than the group's own cancellation ends the whole
// group and is what Wait returns, prefixed with name.
func (g *Group) Go(name string, f func(context.Context) error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		err := f(g.ctx)
		if err == nil || errors.Is(err, context.Canceled) && g.ctx.Err() != nil {
			return
		}
		g.fail(fmt.Errorf("%s: %w", name, err))
	}()
}

// Stop asks every function to end; it doesn't wait.
func (g *Group) Stop() { g.cancel(context.Canceled) }

// Wait blocks until every function has ended and returns the first failure.
func (g *Group) Wait() error {
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
