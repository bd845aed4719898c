package alloc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// networkPatience bounds taking a network away.
const networkPatience = 30 * time.Second

// namespaceMode is the network mode for which a group needs a namespace of its
// own; empty if it lives in the node's.
func namespaceMode(group *structs.TaskGroup) (mode, hostname string) {
	for _, network := range group.Networks {
		if network.Mode != "" && network.Mode != structs.NetworkModeHost {
			return network.Mode, network.Hostname
		}
	}
	return "", ""
}

// makeNetwork has the group's driver make the network that the group asks for.
// That is told again to a driver that has made it before, as after a restart of
// the agent: it may have been the machine's.
func (r *Runner) makeNetwork(ctx context.Context) error {
	mode, hostname := namespaceMode(r.group())
	if mode == "" {
		return nil
	}
	name, driver, err := r.networkDriver(ctx, mode)
	if err != nil {
		return err
	}
	// Written down first: what was made must be taken away, whoever dies.
	r.mu.Lock()
	r.netDriver = name
	r.mu.Unlock()
	if err := r.remember(); err != nil {
		return err
	}
	network, _, err := driver.CreateNetwork(ctx, r.id, hostname)
	if err != nil {
		return fmt.Errorf("make the network by driver %q: %w", name, err)
	}
	r.mu.Lock()
	r.network = network
	r.mu.Unlock()
	for _, t := range r.tasks {
		t.Isolate(network)
	}
	return r.remember()
}

// networkDriver finds the one driver of the group that makes networks.
func (r *Runner) networkDriver(ctx context.Context, mode string) (string, drivers.Driver, error) {
	wanted := drivers.NetworkGroup
	if mode == structs.NetworkModeNone {
		wanted = drivers.NetworkNone
	}
	var found drivers.Driver
	name := ""
	for _, t := range r.group().Tasks {
		driver, err := r.host.Task.Drivers.Driver(t.Driver)
		if err != nil {
			return "", nil, err
		}
		caps, err := driver.Capabilities(ctx)
		switch {
		case err != nil:
			return "", nil, fmt.Errorf("ask driver %q for its capabilities: %w", t.Driver, err)
		case !caps.MustCreateNetwork || t.Driver == name:
			continue
		case found != nil:
			return "", nil, fmt.Errorf("network mode %q: the drivers %q and %q both want to make the group's network: put their tasks into groups of their own", mode, name, t.Driver)
		case !slices.Contains(caps.NetworkModes, wanted):
			return "", nil, fmt.Errorf("network mode %q: driver %q makes networks, but none of this mode", mode, t.Driver)
		}
		name, found = t.Driver, driver
	}
	if found == nil {
		return "", nil, fmt.Errorf("network mode %q is not built yet in this release for drivers that don't make their networks themselves: use mode = \"host\", or leave the mode out", mode)
	}
	return name, found, nil
}

// dropNetwork takes away what makeNetwork made, after the last task.
func (r *Runner) dropNetwork(ctx context.Context) {
	r.mu.Lock()
	name, network := r.netDriver, r.network
	r.mu.Unlock()
	if name == "" {
		return
	}
	ctx, cancel := loop.WithTimeout(context.WithoutCancel(ctx), networkPatience)
	defer cancel()
	driver, err := r.host.Task.Drivers.Driver(name)
	if err == nil {
		err = driver.DestroyNetwork(ctx, r.id, network)
	}
	if err == nil {
		r.mu.Lock()
		r.netDriver, r.network = "", nil
		r.mu.Unlock()
		err = r.remember()
	}
	if err != nil {
		r.logger.Error("the network of an ended allocation could not be taken away", logx.KeyDriver, name, logx.KeyError, err)
	}
}

// networkStatusLocked is what the servers are told of the network. It must be
// called with the lock held.
func (r *Runner) networkStatusLocked() *structs.AllocNetworkStatus {
	if r.alloc.NetworkStatus != nil || r.network == nil || r.network.Hosts == nil {
		return r.alloc.NetworkStatus
	}
	return &structs.AllocNetworkStatus{Address: r.network.Hosts.Address}
}
