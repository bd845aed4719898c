//go:build linux

package docker

import (
	"context"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/internal/logx"
)

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
