// Package members says which servers are here, by gossip: who joined, left or
// fell silent. It is a hint; Raft's configuration is the truth, and Reconcile
// brings the one in line with the other.
//
// It must not know the log or the store. It is the only room that knows the
// Serf library. Begin reading at Open.
package members

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
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
	// HasState reports whether this server already belongs to a cluster.
	HasState bool
	// EncryptKey is empty or 16 or 32 bytes.
	EncryptKey       []byte
	StartJoin        []string
	RetryJoin        []string
	RetryInterval    time.Duration
	RetryMax         int
	RejoinAfterLeave bool
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
	Expect                                int
	Tags                                  map[string]string
	ProtocolMin, ProtocolMax, ProtocolCur uint8
	DelegateMin, DelegateMax, DelegateCur uint8
}

// Members is this server's view of who is here.
type Members struct{}

// Open starts gossip.
func Open(cfg Config) (*Members, error) { return nil, errors.New("open members: not written yet") }

// Run joins the configured addresses and keeps membership until ctx ends.
func (m *Members) Run(ctx context.Context) error { return errors.New("run members: not written yet") }

// Local is this server.
func (m *Members) Local() Member { return Member{} }

// List returns the known servers, sorted by name.
func (m *Members) List() []Member { return nil }

// Join contacts servers; it returns how many answered.
func (m *Members) Join(addrs []string) (int, error) { return 0, errors.New("join: not written yet") }

// ForceLeave turns a failed server into one that left; prune forgets it.
func (m *Members) ForceLeave(name string, prune bool) error {
	return errors.New("force leave: not written yet")
}

// Leave tells the others that this server leaves on purpose.
func (m *Members) Leave(ctx context.Context) error { return errors.New("leave: not written yet") }

// Changed is closed at the next change of membership.
func (m *Members) Changed() <-chan struct{} { return nil }

// Voter is a member of Raft's configuration.
type Voter struct{ ID, Addr string }

// Voters is Raft's configuration, as far as membership changes it.
type Voters interface {
	Voters() ([]Voter, error)
	AddVoter(ctx context.Context, id, addr string) error
	RemoveServer(ctx context.Context, id string) error
}

// Reconcile brings Raft's configuration in line with membership until ctx
// ends. It runs on the leader.
func (m *Members) Reconcile(ctx context.Context, v Voters) error {
	return errors.New("reconcile: not written yet")
}

// Bootstrap waits until BootstrapExpect servers are here and none belongs to a
// cluster, and then calls bootstrap on exactly one of them. It returns nil
// when this server needs no bootstrap any more.
func (m *Members) Bootstrap(ctx context.Context, hasState func() bool, bootstrap func([]Voter) error) error {
	return errors.New("bootstrap: not written yet")
}
