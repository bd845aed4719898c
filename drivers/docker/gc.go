//go:build linux

package docker

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/internal/logx"
)

// images counts the tasks that use an image, so that one that nobody uses any
// more can be removed after a while.
type images struct {
	// gate keeps an image from being removed between the moment at which it is
	// found to be here and that at which it counts as used.
	gate  sync.RWMutex
	mu    sync.Mutex
	users map[string]int
	// turn grows whenever an image is used, so that a removal that waits
	// knows it was wanted meanwhile.
	turn map[string]uint64
}

func newImages() *images { return &images{users: map[string]int{}, turn: map[string]uint64{}} }

// hold finds an image by its name, and uses it.
func (i *images) hold(ctx context.Context, engine *client.Client, image string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	i.gate.RLock()
	defer i.gate.RUnlock()
	r, err := engine.ImageInspect(ctx, image)
	if err != nil {
		return "", err
	}
	i.use(r.ID)
	return r.ID, nil
}

func (i *images) use(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users[id]++
	i.turn[id]++
}

// drop reports whether nobody is left, and the turn at which that was so.
func (i *images) drop(id string) (uint64, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users[id]--
	return i.turn[id], i.users[id] <= 0
}

func (i *images) unused(id string, since uint64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.users[id] <= 0 && i.turn[id] == since
}

// forget drops what is known of an image that was removed.
func (i *images) forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.users, id)
	delete(i.turn, id)
}

// release lets go of an image, which is removed later unless used again. One
// that other containers use is kept by the engine.
func (d *Driver) release(id string) {
	if id == "" {
		return
	}
	turn, last := d.images.drop(id)
	engine, plugin, err := d.api()
	if err != nil || !last || !plugin.GC.Image {
		return
	}
	d.group.Go("remove image", func(ctx context.Context) error {
		pause(ctx, d.clock, plugin.imageDelay)
		if ctx.Err() == nil {
			d.removeUnused(ctx, engine, id, turn)
		}
		return nil
	})
}

func (d *Driver) removeUnused(ctx context.Context, engine *client.Client, id string, turn uint64) {
	// Bounded by little, as starts wait for it.
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	d.images.gate.Lock()
	defer d.images.gate.Unlock()
	if !d.images.unused(id, turn) {
		return
	}
	_, err := engine.ImageRemove(ctx, id, client.ImageRemoveOptions{PruneChildren: true})
	switch {
	case err == nil || errdefs.IsNotFound(err):
		d.images.forget(id)
	case !errdefs.IsConflict(err) && ctx.Err() == nil:
		d.logger.Warn("an unused image can't be removed", "image", id, logx.KeyError, err)
	}
}

// removeDangling removes containers that carry this node's label and belong to
// no task: what a start left whose answer nobody noted. It begins one period
// after the driver, when the client has recovered its tasks.
func (d *Driver) removeDangling(ctx context.Context) error {
	for {
		d.mu.Lock()
		period := d.config.danglingPeriod
		d.mu.Unlock()
		if period <= 0 {
			period = time.Minute // not configured yet
		}
		pause(ctx, d.clock, period)
		if ctx.Err() != nil {
			return nil
		}
		engine, plugin, err := d.api()
		if err != nil || !plugin.GC.Dangling.Enabled {
			continue
		}
		if err := d.sweep(ctx, engine, plugin); err != nil && ctx.Err() == nil {
			d.logger.Debug("dangling containers can't be looked for", logx.KeyError, err)
		}
	}
}

func (d *Driver) sweep(ctx context.Context, engine *client.Client, plugin *pluginConfig) error {
	limited, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	known, nodes := map[string]bool{}, map[string]bool{}
	d.mu.Lock()
	for _, t := range d.tasks {
		known[t.state.Container] = true
		nodes[t.config.NodeID] = true
	}
	d.mu.Unlock()
	listed, err := engine.ContainerList(limited, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelTask)})
	if err != nil {
		return err
	}
	for _, c := range listed.Items {
		// Several agents may share an engine: only what is this node's counts,
		// and which node that is, its tasks tell.
		age := d.clock.Now().Sub(time.Unix(c.Created, 0))
		if known[c.ID] || !nodes[c.Labels[labelNode]] || age < plugin.grace {
			continue
		}
		d.logger.Info("a container that belongs to no task is removed", "container", c.ID, logx.KeyTask, c.Labels[labelTask])
		if plugin.GC.Dangling.DryRun {
			continue
		}
		if err := remove(ctx, engine, c.ID); err != nil {
			return err
		}
	}
	return nil
}
