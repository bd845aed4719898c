// Package cluster is a whole region in one goroutine: servers, nodes and the
// network between them, on virtual time. What runs on them is the real control
// plane and the real agent; faults are methods.
//
// It must not know scenarios or what is expected of them. Begin reading at
// Cluster.
package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/sim/quorum"
	"github.com/steppe-run/steppe/sim/server"
	"github.com/steppe-run/steppe/sim/virtual"
	"github.com/steppe-run/steppe/sim/wire"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Begin is when simulated histories begin unless they say otherwise.
var Begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Config is what a cluster is made of.
type Config struct {
	Seed    uint64
	Servers int
	// Begin is when the history begins; zero: Begin, or when the origin was so.
	Begin time.Time
	// Origin is what the history begins with; nil: with nothing.
	Origin *Origin
	// Settings are the servers', but for what makes them one.
	Settings control.Config
	Logger   *slog.Logger
	// Applied is told of each entry, by the first server that applied it.
	Applied func(on *server.Server, index uint64)
}

// Cluster is a region. It is for one goroutine.
type Cluster struct {
	cfg     Config
	runtime *virtual.Runtime
	random  *rand.Rand
	net     *wire.Net
	region  *quorum.Region
	servers []*server.Server
	nodes   []*node.Node
	users   *virtual.Machine
	applied uint64
	// Healthy answers the checks of all nodes' tasks; nil: they pass.
	Healthy func(n *node.Node, p service.Probe) bool
}

// New returns a cluster whose servers are up, without a leader yet, and without
// nodes but those of its origin.
func New(cfg Config) (*Cluster, error) {
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	c := &Cluster{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0x5eed+cfg.Origin.base()))}
	switch {
	case !cfg.Begin.IsZero():
	case cfg.Origin != nil:
		c.cfg.Begin = cfg.Origin.At
	default:
		c.cfg.Begin = Begin
	}
	c.applied = cfg.Origin.base()
	c.runtime = virtual.New(c.cfg.Begin, rand.New(rand.NewPCG(cfg.Seed, 1)))
	c.net = wire.New(c.runtime, rand.New(rand.NewPCG(cfg.Seed, 2)))
	c.region = quorum.New(c.runtime, c.net, rand.New(rand.NewPCG(cfg.Seed, 3)), c.applied)
	c.users = c.runtime.Machine("users")
	for i := range cfg.Servers {
		s := server.New(server.Config{
			Name: fmt.Sprint("server-", i+1), Runtime: c.runtime, Region: c.region, NewID: c.NewID,
			Logger: cfg.Logger, Settings: cfg.Settings, Applied: c.note, State: cfg.Origin.state(),
		})
		c.servers = append(c.servers, s)
		if err := s.Start(); err != nil {
			c.Close()
			return nil, err
		}
	}
	if err := c.populate(cfg.Origin); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// NewID makes an identifier; the same seed makes the same ones.
func (c *Cluster) NewID() string {
	var seed ids.Seed
	binary.LittleEndian.PutUint64(seed[:8], c.random.Uint64())
	binary.LittleEndian.PutUint64(seed[8:], c.random.Uint64())
	return ids.Derive(seed, 0)
}

// note passes each entry on once: the first server that applies it tells.
func (c *Cluster) note(on *server.Server, index uint64) {
	if index > c.applied {
		c.applied = index
		if c.cfg.Applied != nil {
			c.cfg.Applied(on, index)
		}
	}
}

// Now is the virtual time.
func (c *Cluster) Now() time.Time { return c.runtime.Now() }

// Applied is the index of the newest entry that any server has applied.
func (c *Cluster) Applied() uint64 { return c.applied }

// Runtime is the cluster's time, Net its network.
func (c *Cluster) Runtime() *virtual.Runtime { return c.runtime }

// Net is the network of the cluster.
func (c *Cluster) Net() *wire.Net { return c.net }

// Region is the servers' log.
func (c *Cluster) Region() *quorum.Region { return c.region }

// Servers of the cluster.
func (c *Cluster) Servers() []*server.Server { return c.servers }

// Nodes of the cluster, in the order in which they came.
func (c *Cluster) Nodes() []*node.Node { return c.nodes }

// Pass lets time pass.
func (c *Cluster) Pass(d time.Duration) { c.runtime.Run(c.Now().Add(d)) }

// Until lets time pass until cond holds, at most limit; it reports whether cond
// holds.
func (c *Cluster) Until(limit time.Duration, cond func() bool) bool {
	const look = 250 * time.Millisecond
	for end := c.Now().Add(limit); ; {
		if cond() {
			return true
		}
		if !c.Now().Before(end) {
			return false
		}
		c.Pass(min(look, end.Sub(c.Now())))
	}
}

// Close ends everything.
func (c *Cluster) Close() {
	for _, n := range c.nodes {
		n.Kill()
	}
	for _, s := range c.servers {
		s.Crash()
	}
	c.users.Kill()
}

// AddNode adds a node and starts its agent.
func (c *Cluster) AddNode(cfg node.Config) (*node.Node, error) {
	n, err := c.newNode(cfg)
	if err != nil {
		return nil, err
	}
	return n, n.Start()
}

func (c *Cluster) newNode(cfg node.Config) (*node.Node, error) {
	cfg.Runtime, cfg.NewID, cfg.Logger = c.runtime, c.NewID, c.cfg.Logger
	cfg.Random = rand.New(rand.NewPCG(c.cfg.Seed, uint64(100+len(c.nodes))))
	cfg.Connect = func(n *node.Node, m *virtual.Machine) client.Session {
		return &nodeSession{c: c, n: n, m: m, server: c.random.IntN(len(c.servers))}
	}
	cfg.Healthy = func(n *node.Node, p service.Probe) bool { return c.Healthy == nil || c.Healthy(n, p) }
	n, err := node.New(cfg)
	if err != nil {
		return nil, err
	}
	c.nodes = append(c.nodes, n)
	return n, nil
}

// Leader is the server that leads and is ready to act, nil if none is.
func (c *Cluster) Leader() *server.Server {
	for _, s := range c.servers {
		if s.Machine() != nil && s.Control().Leading() {
			return s
		}
	}
	return nil
}

// Snapshot is the state as the server knows it that has applied most.
func (c *Cluster) Snapshot() *state.Snapshot {
	var best *state.Snapshot
	for _, s := range c.servers {
		if s.Machine() == nil {
			continue
		}
		if snap := s.Store().Snapshot(); best == nil || snap.Index() > best.Index() {
			best = snap
		}
	}
	return best
}

// Ask has a user ask the leader for something: f runs on it, once there is one,
// and again if leadership was lost meanwhile.
func (c *Cluster) Ask(what string, f func(ctx context.Context, on *control.Control) error, done func(error)) {
	c.users.Go(what, func() {
		ctx, cancel := loop.WithTimeout(c.users.Context(), time.Minute)
		defer cancel()
		err := c.ask(ctx, f)
		if done != nil {
			done(err)
		}
	})
}

func (c *Cluster) ask(ctx context.Context, f func(ctx context.Context, on *control.Control) error) error {
	var err error = structs.ErrNoLeader
	for ctx.Err() == nil {
		if leader := c.Leader(); leader != nil {
			answered := make(chan struct{}, 1)
			m := leader.Machine()
			m.Go("request", func() {
				ctx, cancel := loop.WithTimeout(m.Context(), serveLimit)
				defer cancel()
				err = f(ctx, leader.Control())
				answered <- struct{}{}
				c.users.Look()
			})
			if _, late := loop.Await(ctx, answered); late != nil {
				return errUnreachable
			}
			if err == nil || !passing(err) {
				return err
			}
		}
		if late := loop.Sleep(ctx, c.users, time.Second); late != nil {
			return err
		}
	}
	return err
}

func (c *Cluster) serverOf(m *quorum.Member) *server.Server {
	for _, s := range c.servers {
		if s.Member() == m {
			return s
		}
	}
	return nil
}

// linked reports whether a node and a server reach each other.
func (c *Cluster) linked(node string, s *server.Server) bool {
	return s.Machine() != nil && c.net.Reaches(node, s.Name()) && c.net.Reaches(s.Name(), node)
}

// Doom has a server die before anybody takes another turn.
func (c *Cluster) Doom(s *server.Server) { c.runtime.Next(s.Crash) }
