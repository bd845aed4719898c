package client

import (
	"context"
	"fmt"
	"maps"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/nodeapi"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/structs"
)

func (c *Client) apiConfig() nodeapi.Config {
	return nodeapi.Config{
		Node:        apiNode{c},
		Checks:      c.services.Checks,
		AllocDir:    c.cfg.AllocDir,
		CPU:         func() int { return int(c.Figures().Total.CPU) },
		DisableExec: c.cfg.DisableRemoteExec,
		Clock:       c.clock,
		Logger:      c.logger,
	}
}

// apiNode is what the HTTP handlers may do with the client.
type apiNode struct{ c *Client }

// Alloc implements nodeapi.Node.
func (n apiNode) Alloc(id string) *alloc.Runner { return n.c.runner(id) }

// CollectAll implements nodeapi.Node.
func (n apiNode) CollectAll() { n.c.GC() }

// CollectOne implements nodeapi.Node.
func (n apiNode) CollectOne(id string) error {
	r := n.c.runner(id)
	if r == nil {
		return nil
	}
	if !r.Finished() {
		return fmt.Errorf("allocation %s is still running", id)
	}
	n.c.destroy(r)
	return nil
}

// Metadata implements nodeapi.Node.
func (n apiNode) Metadata() (*structs.NodeMetaResponse, error) {
	dynamic, err := n.c.memory.NodeMeta()
	if err != nil {
		return nil, err
	}
	static := maps.Clone(n.c.cfg.Meta)
	if static == nil {
		static = map[string]string{}
	}
	return &structs.NodeMetaResponse{Meta: n.c.meta(), Dynamic: dynamic, Static: static}, nil
}

// ApplyMetadata implements nodeapi.Node.
func (n apiNode) ApplyMetadata(changes map[string]*string) (*structs.NodeMetaResponse, error) {
	n.c.metaMu.Lock() // one change at a time
	defer n.c.metaMu.Unlock()
	dynamic, err := n.c.memory.NodeMeta()
	if err != nil {
		return nil, err
	}
	for key, value := range changes {
		_, configured := n.c.cfg.Meta[key]
		if value == nil && !configured {
			delete(dynamic, key)
		} else {
			dynamic[key] = value
		}
	}
	if err := n.c.memory.PutNodeMeta(dynamic); err != nil {
		return nil, err
	}
	n.c.changeNode(func(node *structs.Node) bool {
		node.Meta = n.c.meta()
		return true
	})
	return n.Metadata()
}

// diskFull reports whether the allocations' disk is fuller than it may be.
func (c *Client) diskFull(ctx context.Context) bool {
	if c.deps.Simulated != nil {
		return false
	}
	usage, err := disk.UsageWithContext(ctx, c.cfg.AllocDir)
	if err != nil {
		c.logger.Warn("disk could not be measured", logx.KeyError, err)
		return false
	}
	return usage.UsedPercent > c.cfg.GC.DiskUsageThreshold || usage.InodesUsedPercent > c.cfg.GC.InodeUsageThreshold
}
