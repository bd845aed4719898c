package client

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/steppe-run/steppe/client/network"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/structs"
)

// openNetworks prepares what makes the networks of allocations.
func (c *Client) openNetworks() error {
	if c.deps.Simulated != nil {
		return nil
	}
	cfg := c.cfg.Network
	cfg.Dir, cfg.Owner = filepath.Join(c.cfg.StateDir, "networks"), c.identity.NodeID
	cfg.DefaultAddress = c.defaultAddress
	cfg.Clock, cfg.Logger = c.clock, c.logger
	var err error
	if c.networks, err = network.New(cfg); err != nil {
		return fmt.Errorf("open networks: client.%w", err)
	}
	return nil
}

// defaultAddress is the address of the host network that ports are on which
// name none.
func (c *Client) defaultAddress() string {
	n := c.Node()
	if n == nil {
		return ""
	}
	if info, ok := n.HostNetworks[structs.HostNetworkName]; ok {
		return n.HostNetworkAddress(info)
	}
	return n.DefaultAddress()
}

// describeNetworks tells which networks allocations can have here.
func (c *Client) describeNetworks(n *structs.Node) {
	if c.networks == nil {
		return
	}
	offers, attributes, err := c.networks.Describe()
	if err != nil {
		c.logger.Info("allocations can have no networks of their own here", logx.KeyError, err)
	}
	n.NodeResources.Networks = append(n.NodeResources.Networks, offers...)
	for key, value := range attributes {
		n.Attributes[key] = value
	}
}

// lives reports whether an allocation needs its network.
func (c *Client) lives(id string) bool {
	r := c.runner(id)
	return r != nil && !r.Finished()
}

// dropNetworks takes every network away: what they were for has ended.
func (c *Client) dropNetworks(ctx context.Context) {
	if c.networks != nil {
		c.networks.Sweep(ctx, func(string) bool { return false })
	}
}
