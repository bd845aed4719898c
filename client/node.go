package client

import (
	"context"
	"errors"
	"maps"
	"net"
	"time"

	"github.com/steppe-run/steppe/client/fingerprint"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

const (
	// driverPatience is how long the first registration waits for the
	// drivers to be heard of, so that jobs find them at once.
	driverPatience = 3 * time.Second
	// nodeQuiet is how long changes of the node are gathered.
	nodeQuiet = 200 * time.Millisecond
	// retryMin and retryMax bound the pause after a failed call.
	retryMin = 250 * time.Millisecond
	retryMax = 15 * time.Second
	// callPatience bounds one call to the servers.
	callPatience = 30 * time.Second
)

// fingerprint describes the node for the first time.
func (c *Client) fingerprint(ctx context.Context) {
	if sim := c.deps.Simulated; sim != nil && sim.Node != nil {
		c.describe(sim.Node.Clone())
		return
	}
	facts, errs := c.look(ctx)
	for _, err := range errs {
		c.logger.Warn("a part of the node could not be found out", logx.KeyError, err)
	}
	n := &structs.Node{
		ID: c.identity.NodeID, SecretID: c.identity.SecretID,
		Name: c.cfg.Name, Datacenter: c.cfg.Datacenter, NodeClass: c.cfg.NodeClass, NodePool: c.cfg.NodePool,
		HTTPAddr: c.cfg.HTTPAddr, TLSEnabled: c.cfg.TLSEnabled, CgroupParent: c.cfg.CgroupParent,
		Status: structs.NodeStatusReady, SchedulingEligibility: structs.NodeEligible,
		HostVolumes: c.cfg.HostVolumes, HostNetworks: c.cfg.HostNetworks,
		NodeMaxAllocs: c.cfg.NodeMaxAllocs, Drivers: map[string]*structs.DriverInfo{},
	}
	reserved := c.cfg.Reserved
	reserved.Cpu.CpuShares += uint64(max(facts.WithheldMHz, 0))
	n.ReservedResources = &reserved
	if c.cfg.DefaultIneligible {
		n.SchedulingEligibility = structs.NodeIneligible
	}
	facts.Fill(n)
	n.NodeResources.MinDynamicPort, n.NodeResources.MaxDynamicPort = c.cfg.MinDynamicPort, c.cfg.MaxDynamicPort
	c.describeNetworks(n)
	c.ownAttributes(n)
	c.describe(n)
}

func (c *Client) describe(n *structs.Node) {
	c.nodeMu.Lock()
	defer c.nodeMu.Unlock()
	n.Meta = c.meta() // under the lock: whoever sets metadata meanwhile either is read here or finds the node
	c.node = n
}

// ownAttributes are what the agent knows of itself.
func (c *Client) ownAttributes(n *structs.Node) {
	for key, value := range map[string]string{"nomad.version": c.cfg.Speaks, "nomad.revision": c.cfg.Revision, "steppe.version": c.cfg.Version} {
		if value != "" {
			n.Attributes[key] = value
		}
	}
	if !c.cfg.NoServiceDiscovery {
		n.Attributes["nomad.service_discovery"] = "true"
	}
	if host, _, err := net.SplitHostPort(c.cfg.HTTPAddr); err == nil && host != "" {
		n.Attributes["unique.advertise.address"] = host
	}
}

// meta is the configured metadata with what was set at run time over it.
func (c *Client) meta() map[string]string {
	out := maps.Clone(c.cfg.Meta)
	if out == nil {
		out = map[string]string{}
	}
	dynamic, err := c.memory.NodeMeta()
	if err != nil {
		c.logger.Error("node metadata could not be read", logx.KeyError, err)
	}
	for key, value := range dynamic {
		if value == nil {
			delete(out, key)
		} else {
			out[key] = *value
		}
	}
	return out
}

// changeNode replaces the node by a changed copy and has the servers told. While
// it isn't known yet what the node is, there is nothing to change.
func (c *Client) changeNode(change func(*structs.Node) bool) {
	c.nodeMu.Lock()
	changed := false
	if c.node != nil {
		n := c.node.Clone()
		if changed = change(n); changed {
			c.node = n
		}
	}
	c.nodeMu.Unlock()
	if changed {
		poke(c.nodeWake)
	}
}

func (c *Client) watchDrivers(ctx context.Context) error {
	return c.deps.Drivers.WatchFingerprints(ctx, func(name string, fp *drivers.Fingerprint) {
		c.changeNode(func(n *structs.Node) bool { return fingerprint.Driver(n, name, fp, c.clock.Now()) })
	})
}

func (c *Client) watchDriverEvents(ctx context.Context) error {
	return c.deps.Drivers.WatchEvents(ctx, func(_ string, e *drivers.Event) {
		if r := c.runner(e.AllocID); r != nil {
			r.DriverEvent(e.TaskName, task.DriverEvent(e))
		}
	})
}

// keepRegistered registers the node, keeps its time to live up, and registers
// it again when it has changed or the servers have forgotten it.
func (c *Client) keepRegistered(ctx context.Context) error {
	c.awaitDrivers(ctx)
	ttl := c.register(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	close(c.known)
	// The first heartbeat comes at a random moment, so that the nodes of a
	// cluster that was started at once don't all call at the same time.
	wait := time.Duration(c.randomFloat() * float64(ttl))
	next := c.clock.Now().Add(wait)
	for ctx.Err() == nil {
		if left := next.Sub(c.clock.Now()); left > 0 {
			c.sleep(ctx, left, c.nodeWake)
		}
		if c.clock.Now().Before(next) && ctx.Err() == nil {
			c.sleep(ctx, nodeQuiet, nil)
			c.register(ctx)
			continue
		}
		next = c.clock.Now().Add(c.heartbeat(ctx))
	}
	return ctx.Err()
}

// awaitKnown waits until the servers know the node: before that they take
// nothing of it.
func (c *Client) awaitKnown(ctx context.Context) error {
	_, err := loop.Await(ctx, c.known)
	return err
}

// onceKnown holds f back until the servers know the node.
func (c *Client) onceKnown(f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.awaitKnown(ctx); err != nil {
			return err
		}
		return f(ctx)
	}
}

// awaitDrivers waits until every driver was heard of, within bounds.
func (c *Client) awaitDrivers(ctx context.Context) {
	deadline := c.clock.Now().Add(driverPatience)
	for ctx.Err() == nil {
		left := deadline.Sub(c.clock.Now())
		if len(c.Node().Drivers) >= len(c.deps.Drivers.Names()) || left <= 0 {
			return
		}
		c.sleep(ctx, left, c.nodeWake)
	}
}

// register stores the node with the servers, trying until it works or ctx
// ends, and returns the time to live. While it tries there are no heartbeats:
// each failure is one.
func (c *Client) register(ctx context.Context) time.Duration {
	pause := retryMin
	for {
		select {
		case <-c.nodeWake: // what has changed so far is told now
		default:
		}
		callCtx, cancel := loop.WithTimeout(ctx, callPatience)
		ttl, err := c.session.Register(callCtx, c.Node().Clone())
		cancel()
		if err == nil {
			c.contacted()
			return max(ttl, time.Second)
		}
		if ctx.Err() != nil {
			return time.Second
		}
		c.logger.Warn("node could not be registered and is tried again", logx.KeyError, err)
		c.sleep(ctx, min(pause, c.disconnected()), nil)
		pause = min(pause*2, retryMax)
	}
}

// heartbeat renews the time to live and returns when to do so next.
func (c *Client) heartbeat(ctx context.Context) time.Duration {
	callCtx, cancel := loop.WithTimeout(ctx, callPatience)
	ttl, err := c.session.Heartbeat(callCtx)
	cancel()
	switch {
	case err == nil:
		if c.away() > ttl+ttl/2 {
			c.services.Reregister() // the servers may have taken this node for lost, and its services back
		}
		c.contacted()
		return max(ttl, time.Second)
	case ctx.Err() != nil:
		return time.Second
	case forgotten(err):
		c.logger.Warn("the servers have forgotten this node; it registers again")
		ttl := c.register(ctx)
		c.services.Reregister()
		c.reportAll()
		return ttl
	}
	c.logger.Warn("heartbeat failed", logx.KeyError, err)
	return min(time.Second, c.disconnected())
}

// disconnected stops what must not go on without the servers for as long as
// they are away by now. It returns when to look again, at the latest.
func (c *Client) disconnected() time.Duration {
	next := retryMax
	away := c.away()
	for _, r := range c.runners() {
		most := r.StopAfterDisconnect()
		switch {
		case most <= 0 || r.Finished():
		case away < most:
			next = min(next, most-away)
		default:
			c.logger.Warn("allocation is stopped: the servers are away for longer than its job allows", logx.KeyAlloc, r.ID(), logx.KeyDuration, away)
			r.Stop()
		}
	}
	return next
}

// away is for how long the servers have not answered.
func (c *Client) away() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock.Now().Sub(c.contact)
}

func (c *Client) contacted() {
	c.mu.Lock()
	c.contact = c.clock.Now()
	c.mu.Unlock()
}

// forgotten reports whether the servers don't know this node any more.
func forgotten(err error) bool {
	var refusal *structs.Error
	return errors.Is(err, link.ErrNodeUnknown) || errors.As(err, &refusal) && refusal.Kind == structs.KindNotFound
}
