// Package client is the node agent: it tells the servers what this machine
// offers, pulls the allocations meant for it, runs their tasks through
// drivers, and reports back what became of them.
//
// It must not know the server's rooms, nor any one driver: it sees a session
// (Session) and the driver contract. What it decides it writes down first
// (client/local), so that the agent may die at any instant.
//
// Begin reading at Client.Run.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/dns"
	"github.com/steppe-run/steppe/client/fingerprint"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/move"
	"github.com/steppe-run/steppe/client/network"
	"github.com/steppe-run/steppe/client/nodeapi"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

const (
	// stopPatience is how long a development node waits for its tasks to end
	// when the agent does.
	stopPatience = 15 * time.Second
	// discardPatience is how long ending the others by force may take.
	discardPatience = 5 * time.Second
)

// Client is the agent of one node.
type Client struct {
	cfg      Config
	deps     Deps
	clock    clock.Clock
	logger   *slog.Logger
	memory   Memory
	identity Identity
	session  Session
	services *service.Manager
	networks *network.Manager // nil on a node that isn't a machine
	host     alloc.Host
	handler  http.Handler

	nodeMu   sync.Mutex
	node     *structs.Node // replaced, never changed
	nodeWake chan struct{} // the node has changed and is to be told
	known    chan struct{} // closed once the servers know the node

	mu       sync.Mutex
	allocs   map[string]*alloc.Runner
	work     *loop.Group // runs allocations; nil unless Run runs
	dirty    map[string]bool
	sent     map[string]*structs.AllocUpdate
	again    map[string]bool                 // to be told again, whatever is being told of it
	verdicts map[string]*structs.AllocUpdate // to be told of allocations without a runner
	sendWake chan struct{}
	gcWake   chan struct{}
	contact  time.Time // when the servers last answered; at first, when Run began

	metaMu sync.Mutex // held while metadata that was set at run time changes

	randMu sync.Mutex
	random *rand.Rand
}

// New prepares a client: it opens the node's memory, creates its identity if
// there is none yet, and makes the session. It starts nothing.
func New(cfg Config, deps Deps) (*Client, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if deps.Clock == nil {
		deps.Clock = clock.Real{}
	}
	if deps.Logger == nil {
		deps.Logger = logx.Discard()
	}
	if deps.HostUUID == nil {
		deps.HostUUID = fingerprint.HostUUID
	}
	c := &Client{
		cfg: cfg, deps: deps, clock: deps.Clock,
		logger:   deps.Logger,
		nodeWake: make(chan struct{}, 1),
		known:    make(chan struct{}),
		allocs:   map[string]*alloc.Runner{},
		dirty:    map[string]bool{},
		sent:     map[string]*structs.AllocUpdate{},
		again:    map[string]bool{},
		verdicts: map[string]*structs.AllocUpdate{},
		sendWake: make(chan struct{}, 1),
		gcWake:   make(chan struct{}, 1),
		random:   rand.New(rand.NewPCG(seed(), seed())),
	}
	var ask func(context.Context, service.Probe) service.Outcome
	if sim := deps.Simulated; sim != nil {
		c.random, ask = sim.Random, sim.Ask
	}
	if err := c.open(); err != nil {
		return nil, err
	}
	c.services = service.NewManager(service.Config{
		Catalog: c.catalog(), Clock: c.clock, Logger: c.logger, Changed: c.checkChanged, Ask: ask,
	})
	if err := c.openNetworks(); err != nil {
		_ = c.memory.Close() // the first error counts
		return nil, err
	}
	c.host = c.allocHost()
	c.handler = nodeapi.New(c.apiConfig())
	session, err := deps.Connect(c.identity, c.handler)
	if err != nil {
		_ = c.memory.Close() // the first error counts
		return nil, fmt.Errorf("make session: %w", err)
	}
	c.session = session
	return c, nil
}

// open opens the memory and finds or makes the node's identity.
func (c *Client) open() error {
	var err error
	if c.memory, err = c.openMemory(); err != nil {
		return err
	}
	id, err := c.memory.Identity()
	if err == nil && id.NodeID == "" {
		id = local.Identity{NodeID: c.newNodeID(), SecretID: ids.New()}
		err = c.memory.PutIdentity(id)
	}
	if err != nil {
		_ = c.memory.Close() // the first error counts
		return fmt.Errorf("find node identity: %w", err)
	}
	c.identity = Identity(id)
	return nil
}

func (c *Client) openMemory() (Memory, error) {
	if sim := c.deps.Simulated; sim != nil {
		return sim.Memory, nil
	}
	for _, dir := range []string{c.cfg.StateDir, c.cfg.AllocDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("make client directory: %w", err)
		}
	}
	memory, moved, err := local.Open(c.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	if moved != "" {
		c.logger.Error("client state was unreadable, moved aside and begun anew; what ran before is not known any more", logx.KeyPath, moved)
	}
	return memory, nil
}

// newNodeID names a node that has no name yet: at random, or as the host is
// called where that is asked for.
func (c *Client) newNodeID() string {
	if c.cfg.NoHostUUID {
		return ids.New()
	}
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	id, err := c.deps.HostUUID(ctx)
	if err == nil && !ids.Valid(id) {
		err = fmt.Errorf("%q is no UUID", id)
	}
	if err != nil {
		c.logger.Warn("the host has no UUID, the node's id is a random one (client.no_host_uuid is false)", logx.KeyError, err)
		return ids.New()
	}
	return strings.ToLower(id)
}

func (c *Client) allocHost() alloc.Host {
	denied, ok := c.cfg.Options["env.denylist"]
	if !ok {
		denied = taskenv.HostDenylist
	}
	newID := ids.New
	if sim := c.deps.Simulated; sim != nil {
		newID = sim.NewID
	}
	host := alloc.Host{
		Task: task.Host{
			Drivers:        c.deps.Drivers,
			Logs:           c.deps.Logs,
			Memory:         c.memory,
			Clock:          c.clock,
			Logger:         c.logger,
			Node:           c.Node,
			Region:         c.cfg.Region,
			Environ:        taskenv.HostVariables(os.Environ(), denied),
			MaxKillTimeout: c.cfg.MaxKillTimeout,
			Random:         c.randomFloat,
			NewID:          newID,
		},
		Memory:   c.memory,
		Services: c.services,
		Dirs:     c.dirs(),
		Changed:  c.allocChanged,
		Previous: c.runner, Elsewhere: c.elsewhere(),
	}
	if c.networks != nil {
		host.Networks = c.networks
	}
	return host
}

// elsewhere reaches other nodes through the servers.
func (c *Client) elsewhere() alloc.Elsewhere {
	if c.deps.Servers == nil || c.deps.Simulated != nil {
		return nil
	}
	return &move.Mover{Servers: c.deps.Servers, Secret: c.identity.SecretID, Clock: c.clock}
}

func (c *Client) dirs() allocdir.Base {
	simulated := c.deps.Simulated != nil
	return allocdir.Base{Path: c.cfg.AllocDir, Tmpfs: os.Geteuid() == 0 && !c.cfg.Dev && !simulated, Nowhere: simulated}
}

// catalog registers services through the session, once there is one.
func (c *Client) catalog() service.Catalog {
	if c.cfg.NoServiceDiscovery {
		return nil
	}
	return lateCatalog{c}
}

type lateCatalog struct{ c *Client }

func (l lateCatalog) UpsertServices(ctx context.Context, services []*structs.ServiceRegistration) error {
	if err := l.c.awaitKnown(ctx); err != nil {
		return err
	}
	return l.c.session.UpsertServices(ctx, services)
}

func (l lateCatalog) SyncServices(ctx context.Context, services []*structs.ServiceRegistration) error {
	if err := l.c.awaitKnown(ctx); err != nil {
		return err
	}
	return l.c.session.SyncServices(ctx, services)
}

func (l lateCatalog) DeleteServices(ctx context.Context, namespace string, ids []string) error {
	if err := l.c.awaitKnown(ctx); err != nil {
		return err
	}
	return l.c.session.DeleteServices(ctx, namespace, ids)
}

// Identity is who this node is; it is known after New.
func (c *Client) Identity() Identity { return c.identity }

// Node returns the node as it is known now. It must not be changed.
func (c *Client) Node() *structs.Node {
	c.nodeMu.Lock()
	defer c.nodeMu.Unlock()
	return c.node
}

// Handler serves the node's own part of the HTTP API: /v1/client/*.
func (c *Client) Handler() http.Handler { return c.handler }

// Run works until ctx ends. Tasks go on running afterwards, unless the node is
// a development node.
func (c *Client) Run(ctx context.Context) error {
	defer func() {
		if err := c.memory.Close(); err != nil {
			c.logger.Error("client state could not be closed", logx.KeyError, err)
		}
	}()
	if ctx.Err() != nil {
		return nil
	}
	c.fingerprint(ctx)
	c.contacted() // nobody knows for how long the servers have been away
	// Allocations have a life of their own: on a development node they are
	// ended in an orderly way after everything else has stopped.
	work := loop.New(context.WithoutCancel(ctx))
	c.mu.Lock()
	c.work = work
	c.mu.Unlock()
	err := c.restore(ctx)
	if err == nil {
		err = c.serve(ctx)
	}
	if c.cfg.Dev {
		c.stopAll(context.WithoutCancel(ctx))
		c.dropNetworks(context.WithoutCancel(ctx))
	}
	c.mu.Lock()
	c.work = nil
	c.mu.Unlock()
	work.Stop()
	return errors.Join(err, work.Wait())
}

// serve runs the loops of the node until ctx ends.
func (c *Client) serve(ctx context.Context) error {
	group := loop.New(ctx)
	group.Go("watch the machine", c.watchMachine)
	group.Go("ask the cloud", c.askCloud)
	group.Go("watch drivers", c.watchDrivers)
	group.Go("watch driver events", c.watchDriverEvents)
	group.Go("keep registered", c.keepRegistered)
	group.Go("watch allocations", c.onceKnown(c.watchAllocs)) // a server that doesn't know the node yet knows nothing of its allocations
	group.Go("report allocations", c.onceKnown(c.report))
	group.Go("services", c.services.Run)
	if len(c.cfg.DNS.Addrs) > 0 && !c.cfg.NoServiceDiscovery && c.deps.Simulated == nil {
		group.Go("answer names", c.names().Run)
	}
	group.Go("collect garbage", c.collect)
	if c.networks != nil {
		group.Go("networks", func(ctx context.Context) error { return c.networks.Run(ctx, c.lives) })
	}
	return group.Wait()
}

// names answers for services by name, from what the servers tell once they know
// this node, and until then from what is known of earlier.
func (c *Client) names() *dns.Server {
	return dns.New(dns.Config{
		Addrs: c.cfg.DNS.Addrs, Domain: c.cfg.DNS.Domain, TTL: c.cfg.DNS.TTL, Upstreams: c.cfg.DNS.Upstreams, Dir: c.cfg.StateDir,
		Source: func(ctx context.Context, from uint64, each func(*link.ServiceSet) error) error {
			if err := c.awaitKnown(ctx); err != nil {
				return err
			}
			return c.session.WatchServices(ctx, from, each)
		},
		Random: rand.New(rand.NewPCG(seed(), seed())), Clock: c.clock, Logger: c.logger,
	})
}

// stopAll ends every task and removes what it left, by force if need be.
func (c *Client) stopAll(ctx context.Context) {
	patience, cancel := loop.WithTimeout(ctx, stopPatience)
	defer cancel()
	runners := c.runners()
	for _, r := range runners {
		r.StopNow()
	}
	var late []*alloc.Runner
	for _, r := range runners {
		if _, err := loop.Await(patience, r.Done()); err != nil {
			late = append(late, r)
		}
	}
	c.discard(ctx, late)
	for _, r := range runners {
		if err := r.Destroy(); err != nil {
			c.logger.Warn("allocation could not be removed", logx.KeyAlloc, r.ID(), logx.KeyError, err)
		}
	}
}

// discard ends by force what has not ended in time.
func (c *Client) discard(ctx context.Context, late []*alloc.Runner) {
	ctx, cancel := loop.WithTimeout(ctx, discardPatience)
	defer cancel()
	for _, r := range late {
		c.logger.Warn("tasks have not ended in time and are ended by force", logx.KeyAlloc, r.ID())
		for _, t := range r.Tasks() {
			t.Discard(ctx)
		}
	}
}

// complete fills in what is not configured.
func (cfg *Config) complete() error {
	if cfg.StateDir == "" || cfg.AllocDir == "" {
		return errors.New("client needs a state_dir and an alloc_dir: set data_dir")
	}
	if err := cfg.checkMachine(); err != nil {
		return err
	}
	var err error
	if cfg.StateDir, err = filepath.Abs(cfg.StateDir); err != nil {
		return fmt.Errorf("find state_dir: %w", err)
	}
	if cfg.AllocDir, err = filepath.Abs(cfg.AllocDir); err != nil {
		return fmt.Errorf("find alloc_dir: %w", err)
	}
	fill(&cfg.Region, structs.DefaultRegion)
	fill(&cfg.Datacenter, "dc1")
	fill(&cfg.NodePool, structs.NodePoolDefault)
	if cfg.Name == "" {
		if cfg.Name, err = os.Hostname(); err != nil {
			return fmt.Errorf("find node name: %w", err)
		}
	}
	fill(&cfg.MinDynamicPort, 20000)
	fill(&cfg.MaxDynamicPort, 32000)
	fill(&cfg.MaxKillTimeout, 30*time.Second)
	fill(&cfg.GC.Interval, time.Minute)
	fill(&cfg.GC.ParallelDestroys, 2)
	fill(&cfg.GC.DiskUsageThreshold, 80)
	fill(&cfg.GC.InodeUsageThreshold, 70)
	fill(&cfg.GC.MaxAllocs, 50)
	return nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Client) randomFloat() float64 {
	c.randMu.Lock()
	defer c.randMu.Unlock()
	return c.random.Float64()
}

// seed takes a number from the random bits of a fresh id.
func seed() uint64 {
	s := ids.NewSeed()
	var n uint64
	for _, b := range s[:8] {
		n = n<<8 | uint64(b)
	}
	return n
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// sleep waits for d (zero: without limit), for wake, or for the end of ctx.
func (c *Client) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	_, _ = loop.Wait(ctx, c.clock, max(d, 0), wake) // callers look at ctx themselves
}
