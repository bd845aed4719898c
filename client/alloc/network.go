package alloc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/steppe-run/steppe/client/network"
	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// networkPatience bounds taking a network away.
const networkPatience = 30 * time.Second

// Networks makes the networks of groups; see network.Manager.
type Networks interface {
	// Make brings about what is wanted, or finds it.
	Make(ctx context.Context, w network.Wanted) (*network.Made, error)
	// Drop takes it away. It is idempotent.
	Drop(ctx context.Context, allocID string) error
}

// ownNetwork is the network block of a group that is to have a namespace of its
// own; nil if it lives in the node's.
func ownNetwork(group *structs.TaskGroup) *structs.NetworkResource {
	if group == nil {
		return nil
	}
	for _, network := range group.Networks {
		if network.Mode != "" && network.Mode != structs.NetworkModeHost {
			return network
		}
	}
	return nil
}

// makeNetwork brings about the network that the group asks for: a driver of the
// group that wants to makes the namespace, else it is made here, and here it is
// connected. It is asked for again after a restart of the agent: that may have
// been the machine's.
func (r *Runner) makeNetwork(ctx context.Context) error {
	block := ownNetwork(r.group())
	if block == nil {
		return nil
	}
	a := r.Alloc()
	env := taskenv.Build(taskenv.Input{Node: r.host.Task.Node(), Region: r.host.Task.Region, Alloc: a})
	hostname := env.Replace(block.Hostname)
	isolation, err := r.makeNamespace(ctx, block.Mode, hostname)
	if err != nil {
		return err
	}
	isolation, status, err := r.connect(ctx, block, isolation, hostname)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.network, r.netStatus = isolation, status
	r.alloc = r.withNetworkLocked(r.alloc)
	a = r.alloc
	r.mu.Unlock()
	for _, t := range r.tasks {
		t.Isolate(isolation, a)
	}
	return r.remember()
}

// makeNamespace has the driver of the group that makes namespaces make one; nil
// if there is no such driver.
func (r *Runner) makeNamespace(ctx context.Context, mode, hostname string) (*drivers.NetworkIsolation, error) {
	name, driver, err := r.networkDriver(ctx, mode)
	if err != nil || driver == nil {
		return nil, err
	}
	// Written down first: what was made must be taken away, whoever dies.
	r.mu.Lock()
	r.netDriver = name
	r.mu.Unlock()
	if err := r.remember(); err != nil {
		return nil, err
	}
	isolation, _, err := driver.CreateNetwork(ctx, r.id, hostname)
	if err != nil {
		return nil, fmt.Errorf("make the network by driver %q: %w", name, err)
	}
	return isolation, nil
}

// connect makes the network itself, in the namespace that a driver has made if
// there is one. Whoever has no networks to offer leaves it at that.
func (r *Runner) connect(ctx context.Context, block *structs.NetworkResource, made *drivers.NetworkIsolation, hostname string) (*drivers.NetworkIsolation, *structs.AllocNetworkStatus, error) {
	if r.host.Networks == nil || made != nil && block.Mode == structs.NetworkModeNone {
		return made, statusOf(made), nil
	}
	w := network.Wanted{AllocID: r.id, Mode: block.Mode, Hostname: hostname}
	if made != nil {
		w.Path = made.Path
	}
	if resources := r.Alloc().AllocatedResources; resources != nil {
		w.Ports = resources.Shared.Ports
	}
	connected, err := r.host.Networks.Make(ctx, w)
	if err != nil {
		return nil, nil, fmt.Errorf("network mode %q: %w", block.Mode, err)
	}
	if connected.Status != nil && block.DNS != nil {
		connected.Status.DNS = block.DNS
	}
	if made == nil {
		return connected.Isolation, connected.Status, nil
	}
	both := *made
	both.Hosts = connected.Isolation.Hosts
	return &both, connected.Status, nil
}

func statusOf(made *drivers.NetworkIsolation) *structs.AllocNetworkStatus {
	if made == nil || made.Hosts == nil || made.Hosts.Address == "" {
		return nil
	}
	return &structs.AllocNetworkStatus{Address: made.Hosts.Address}
}

// networkDriver finds the one driver of the group that makes namespaces, nil if
// none does, and refuses those that can't be in one.
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
		case !caps.MustCreateNetwork && r.host.Networks == nil:
			continue // nobody makes any
		case !slices.Contains(caps.NetworkModes, wanted) && !slices.Contains(caps.NetworkModes, drivers.NetworkGroup):
			return "", nil, fmt.Errorf("network mode %q: driver %q can't run a task in a network of its group: use mode = \"host\", or another driver", mode, t.Driver)
		case !caps.MustCreateNetwork || t.Driver == name:
			continue
		case found != nil:
			return "", nil, fmt.Errorf("network mode %q: the drivers %q and %q both want to make the group's network: put their tasks into groups of their own", mode, name, t.Driver)
		}
		name, found = t.Driver, driver
	}
	return name, found, nil
}

// dropNetwork takes away what makeNetwork made, after the last task.
func (r *Runner) dropNetwork(ctx context.Context) {
	r.mu.Lock()
	name, isolation := r.netDriver, r.network
	r.mu.Unlock()
	ctx, cancel := loop.WithTimeout(context.WithoutCancel(ctx), networkPatience)
	defer cancel()
	var errs []error
	if r.host.Networks != nil && ownNetwork(r.group()) != nil {
		errs = append(errs, r.host.Networks.Drop(ctx, r.id))
	}
	if name != "" {
		errs = append(errs, r.destroyNetwork(ctx, name, isolation))
	}
	if err := errors.Join(errs...); err != nil {
		r.logger.Error("the network of an ended allocation could not be taken away", logx.KeyDriver, name, logx.KeyError, err)
	}
}

// destroyNetwork has a driver take away the namespace that it made.
func (r *Runner) destroyNetwork(ctx context.Context, name string, isolation *drivers.NetworkIsolation) error {
	driver, err := r.host.Task.Drivers.Driver(name)
	if err != nil {
		return err
	}
	if err := driver.DestroyNetwork(ctx, r.id, isolation); err != nil {
		return err
	}
	r.mu.Lock()
	r.netDriver, r.network = "", nil
	r.mu.Unlock()
	return r.remember()
}

// withNetworkLocked returns an allocation that says which network it has. It
// must be called with the lock held.
func (r *Runner) withNetworkLocked(a *structs.Allocation) *structs.Allocation {
	if r.netStatus == nil {
		return a
	}
	c := *a
	c.NetworkStatus = r.netStatus
	return &c
}
