//go:build linux

// Package pull has the engine download images: tasks that want the same image
// at the same time share one download, each is told how far it is, waits as
// long as it may, and leaves when it ends; the last to leave ends the download.
// One that stands still is given up.
//
// It must not know tasks, nor where credentials come from. Begin reading at
// Puller.
package pull

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

// Puller owns downloads.
type Puller struct {
	group *loop.Group
	clock clock.Clock
	// first is after how long a download begins to tell how far it is; the
	// pauses grow up to most, as a task keeps few events.
	first time.Duration
	most  time.Duration

	mu     sync.Mutex
	active map[string]*download
}

// Request is one task's wish for an image.
type Request struct {
	Image string
	// Auth is the login for the registry, encoded as the engine wants it.
	Auth string
	// Timeout is how long this task waits, Stall how long a download may stand
	// still.
	Timeout time.Duration
	Stall   time.Duration
	// Tell takes words on how far the download is. It must not block.
	Tell func(message string)
}

// New returns a Puller whose downloads run in group.
func New(group *loop.Group, clk clock.Clock, first, most time.Duration) *Puller {
	return &Puller{group: group, clock: clk, first: first, most: most, active: map[string]*download{}}
}

// download is one download and who waits for it.
type download struct {
	cancel context.CancelCauseFunc
	moved  chan struct{}
	done   chan struct{}
	err    error

	mu      sync.Mutex
	layers  layers
	waiters map[*Request]bool
}

// Pull returns when the image is there, or with the reason why not.
func (p *Puller) Pull(ctx context.Context, engine *client.Client, r Request) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("it took longer than the %s that it may", r.Timeout))
	defer cancel()
	key := r.Image + "\x00" + r.Auth
	d := p.join(key, engine, &r)
	defer p.leave(key, d, &r)
	select {
	case <-d.done:
		return d.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join has r wait for the download of key, which is begun if there is none.
func (p *Puller) join(key string, engine *client.Client, r *Request) *download {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d, ok := p.active[key]; ok {
		d.mu.Lock()
		d.waiters[r] = true
		d.mu.Unlock()
		return d
	}
	ctx, cancel := context.WithCancelCause(p.group.Context())
	d := &download{
		cancel: cancel, moved: make(chan struct{}, 1), done: make(chan struct{}),
		layers: layers{}, waiters: map[*Request]bool{r: true},
	}
	p.active[key] = d
	p.group.Go("pull image", func(context.Context) error {
		d.err = p.run(ctx, engine, d, *r)
		cancel(nil)
		p.forget(key, d)
		close(d.done)
		return nil
	})
	return d
}

// leave has r no longer wait; a download for which nobody waits ends.
func (p *Puller) leave(key string, d *download, r *Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.mu.Lock()
	delete(d.waiters, r)
	left := len(d.waiters)
	d.mu.Unlock()
	if left > 0 {
		return
	}
	if p.active[key] == d {
		// Who comes now begins anew rather than joining what ends.
		delete(p.active, key)
	}
	d.cancel(context.Canceled)
}

func (p *Puller) forget(key string, d *download) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active[key] == d {
		delete(p.active, key)
	}
}

// run asks the engine and reads what it tells to the end.
func (p *Puller) run(ctx context.Context, engine *client.Client, d *download, r Request) error {
	watch := loop.New(ctx)
	watch.Go("watch", func(ctx context.Context) error { p.watch(ctx, d, r.Stall); return nil })
	defer func() { watch.Stop(); _ = watch.Wait() }() // its function returns nil only
	answer, err := engine.ImagePull(ctx, r.Image, client.ImagePullOptions{RegistryAuth: r.Auth})
	if err != nil {
		return because(ctx, err)
	}
	defer func() { _ = answer.Close() }()
	for message, err := range answer.JSONMessages(ctx) {
		if err != nil {
			return because(ctx, err)
		}
		if message.Error != nil {
			return message.Error
		}
		d.mu.Lock()
		news := d.layers.note(&message)
		d.mu.Unlock()
		if !news {
			continue
		}
		select {
		case d.moved <- struct{}{}:
		default: // it is told already
		}
	}
	return because(ctx, nil)
}

// because prefers the reason why the download was ended to what the engine's
// client makes of it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watch tells those who wait how far the download is, and gives it up when it
// stands still.
func (p *Puller) watch(ctx context.Context, d *download, stall time.Duration) {
	pause := p.first
	tell := p.clock.Now().Add(pause)
	still := p.clock.Now().Add(stall)
	for {
		next := tell
		if still.Before(next) {
			next = still
		}
		woken, err := loop.Wait(ctx, p.clock, max(next.Sub(p.clock.Now()), 1), d.moved)
		if err != nil {
			return
		}
		now := p.clock.Now()
		if woken != loop.Elapsed {
			still = now.Add(stall)
			continue
		}
		if !now.Before(still) {
			d.cancel(fmt.Errorf("the download stood still for %s", stall))
			return
		}
		if !now.Before(tell) {
			d.tell()
			pause = min(pause*2, p.most)
			tell = now.Add(pause)
		}
	}
}

func (d *download) tell() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for r := range d.waiters {
		r.Tell("Docker image pull progress: " + d.layers.String())
	}
}
