// Package members says which servers are here, by gossip: who joined, left or
// fell silent. It is a hint; Raft's configuration is the truth, and Reconcile
// brings the one in line with the other.
//
// It must not know the log or the store. It is the only room that knows the
// Serf library. Begin reading at Open; bootstrap.go and reconcile.go say how
// membership becomes Raft's configuration.
package members

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

// Config is what membership needs.
type Config struct {
	// Name is the agent's; in gossip it is Name.Region.
	Name, ID, Region, Datacenter, Version string
	BindAddr                              string
	BindPort                              int
	AdvertiseAddr                         string
	AdvertisePort                         int
	// RPCAddr is host:port of the node link and Raft.
	RPCAddr string
	// HTTPAddr is host:port of the public API, told to others.
	HTTPAddr string
	// BootstrapExpect is how many servers make a new cluster; 0: join only.
	BootstrapExpect int
	// FeatureLevel is what this version can read in the replicated log.
	FeatureLevel int
	// HasState reports whether this server already belongs to a cluster.
	HasState bool
	// EncryptKey is empty or 16, 24 or 32 bytes.
	EncryptKey []byte
	// RetryJoin names servers to meet, tried until one answers.
	RetryJoin []string
	// Prove reports whether the server at an address of another member has the
	// cluster's certificate. Gossip alone makes nobody a voter. nil believes all.
	Prove func(ctx context.Context, rpcAddr string) error
	// RetryInterval is the longest time between two attempts. Default 30 s.
	RetryInterval time.Duration
	// RetryMax ends the server after so many attempts; 0: it goes on trying.
	RetryMax int
	// DataDir keeps who was known, to rejoin after a restart; empty: nothing.
	DataDir string
	Clock   clock.Clock
	Logger  *slog.Logger
}

// The states of a member, as the API names them.
const (
	StatusAlive   = "alive"
	StatusLeaving = "leaving"
	StatusLeft    = "left"
	StatusFailed  = "failed"
)

// Member is one server.
type Member struct {
	// Name is Name.Region.
	Name, ID, Region, Datacenter, Version string
	Addr                                  string
	Port                                  int
	RPCAddr, HTTPAddr                     string
	Status                                string
	// Expect is how many servers it waits for.
	Expect int
	// HasState says that it belongs to a cluster.
	HasState bool
	// Sees stands for the servers that it would make a cluster with.
	Sees         string
	FeatureLevel int
	Tags         map[string]string

	ProtocolMin, ProtocolMax, ProtocolCur uint8
	DelegateMin, DelegateMax, DelegateCur uint8
}

// Members is this server's view of who is here.
type Members struct {
	cfg    Config
	clock  clock.Clock
	log    *slog.Logger
	serf   *serf.Serf
	events chan serf.Event

	oldest atomic.Pointer[Member]

	mu      sync.Mutex
	tags    map[string]string
	changed chan struct{} // closed at the next change
}

// Open starts gossip. Run must follow.
func Open(cfg Config) (*Members, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	if cfg.RetryInterval == 0 {
		cfg.RetryInterval = 30 * time.Second
	}
	for _, addr := range cfg.RetryJoin {
		if strings.Contains(addr, "=") {
			return nil, fmt.Errorf("join %q: finding servers through a cloud provider or a command is not built yet, name addresses", addr)
		}
	}
	switch len(cfg.EncryptKey) {
	case 0, 16, 24, 32:
	default:
		return nil, fmt.Errorf("the gossip key has %d bytes, it must have 16, 24 or 32: `steppe operator gossip keyring generate` makes one", len(cfg.EncryptKey))
	}
	m := &Members{
		cfg: cfg, clock: cfg.Clock, log: cfg.Logger,
		events: make(chan serf.Event, 256), changed: make(chan struct{}), tags: cfg.tags(),
	}
	conf, err := m.serfConfig()
	if err != nil {
		return nil, err
	}
	if err := portFree(cfg.BindAddr, cfg.BindPort); err != nil {
		return nil, err
	}
	if m.serf, err = serf.Create(conf); err != nil {
		return nil, fmt.Errorf("start gossip on %s:%d: %w", cfg.BindAddr, cfg.BindPort, err)
	}
	m.findOldest()
	return m, nil
}

// Run joins the configured addresses and keeps membership until ctx ends. It
// doesn't say good-bye: others see a server that stopped, and expect it back,
// unless Leave was called.
func (m *Members) Run(ctx context.Context) error {
	group := loop.New(ctx)
	group.Go("follow gossip", m.follow)
	group.Go("join", m.join)
	group.Go("watch gossip", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-m.serf.ShutdownCh():
			return fmt.Errorf("gossip ended: another server of region %s uses the name %q too, give each a name of its own", m.cfg.Region, m.cfg.Name)
		}
	})
	err := group.Wait()
	return errors.Join(err, m.serf.Shutdown())
}

// follow notes what happens.
func (m *Members) follow(ctx context.Context) error {
	for {
		select {
		case e := <-m.events:
			if me, ok := e.(serf.MemberEvent); ok {
				for _, s := range me.Members {
					m.log.Info("membership changed", logx.KeyServer, s.Name, logx.KeyReason, me.Type.String())
				}
			}
			m.announce()
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Members) announce() {
	m.findOldest()
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// Changed is closed at the next change of membership.
func (m *Members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Local is this server.
func (m *Members) Local() Member {
	local, _ := memberOf(m.serf.LocalMember())
	return local
}

// List returns the known servers, sorted by name.
func (m *Members) List() []Member {
	var out []Member
	for _, s := range m.serf.Members() {
		if member, ok := memberOf(s); ok {
			out = append(out, member)
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Oldest is the server with the lowest feature level: entries of the log that
// need a higher one must not be proposed. A server that fell silent counts,
// since it comes back and reads what it missed; one that left doesn't. It costs
// nothing to ask.
func (m *Members) Oldest() Member { return *m.oldest.Load() }

func (m *Members) findOldest() {
	oldest := m.Local()
	for _, s := range m.List() {
		if s.Status != StatusLeft && s.FeatureLevel < oldest.FeatureLevel {
			oldest = s
		}
	}
	m.oldest.Store(&oldest)
}

// Join contacts servers; it returns how many answered.
func (m *Members) Join(addrs []string) (int, error) {
	n, err := m.serf.Join(addrs, true)
	if n > 0 {
		return n, nil // those that answered know the rest
	}
	if err != nil {
		return 0, fmt.Errorf("join %s: %w", strings.Join(addrs, ", "), err)
	}
	return 0, nil
}

// ForceLeave turns a failed server into one that left; prune forgets it.
func (m *Members) ForceLeave(name string, prune bool) error {
	full := name
	if !strings.HasSuffix(name, "."+m.cfg.Region) {
		full = name + "." + m.cfg.Region
	}
	known := slices.ContainsFunc(m.List(), func(s Member) bool { return s.Name == full })
	if !known {
		return fmt.Errorf("no server is known by the name %q: `server members` lists them", name)
	}
	leave := m.serf.RemoveFailedNode
	if prune {
		leave = m.serf.RemoveFailedNodePrune
	}
	if err := leave(full); err != nil {
		return fmt.Errorf("make %s leave: %w", full, err)
	}
	return nil
}

// Leave tells the others that this server leaves on purpose.
func (m *Members) Leave(ctx context.Context) error {
	done := make(chan error, 1)
	group := loop.New(ctx)
	group.Go("leave", func(context.Context) error {
		done <- m.serf.Leave()
		return nil
	})
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("leave: %w", ctx.Err())
	}
}
