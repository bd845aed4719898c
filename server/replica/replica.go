// Package replica keeps the replicated log: Raft on disk, so that what a
// majority has stored is never lost, and every server applies the same
// commands in the same order.
//
// It must not know what a command means: it hands bytes to an FSM. It is the
// only room that knows the Raft library. Begin reading at Open.
package replica

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
)

// FSM is what the log drives. Apply, Snapshot and Restore are never called at
// the same time.
type FSM interface {
	// Apply performs one committed entry; its result goes to who proposed it.
	Apply(index uint64, data []byte) any
	// Snapshot captures the state at once; it is written later, while further
	// entries are applied.
	Snapshot() (Snapshot, error)
	// Restore replaces the state by what a Snapshot wrote.
	Restore(r io.Reader) error
}

// Snapshot is a captured state of the FSM.
type Snapshot interface{ Persist(w io.Writer) error }

// Dialer connects to the Raft port of another server.
type Dialer func(ctx context.Context, addr string) (net.Conn, error)

// Config is what a replica needs.
type Config struct {
	// ID is this server's for life, Addr where others reach it.
	ID, Addr string
	// DataDir is where the log and the snapshots live.
	DataDir  string
	Listener net.Listener
	Dial     Dialer
	FSM      FSM
	// Dev elects within a tenth of a second: for a single server.
	Dev bool
	// Multiplier stretches Raft's timeouts, 1 to 10.
	Multiplier        int
	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	TrailingLogs      uint64
	SegmentSize       int
	Clock             clock.Clock
	Logger            *slog.Logger
}

// The ways in which a proposal fails that callers tell apart.
var (
	// ErrNotLeader means that nothing was proposed: ask the leader.
	ErrNotLeader = errors.New("this server is not the leader")
	// ErrLeadershipLost means that the entry may or may not be committed.
	ErrLeadershipLost = errors.New("leadership was lost before the entry was known to be committed")
)

// Server is a member of the Raft configuration.
type Server struct {
	ID, Addr string
	Voter    bool
}

// Stats describes the log.
type Stats struct {
	State                                                     string
	Term, LastIndex, CommitIndex, AppliedIndex, SnapshotIndex uint64
}

// Replica is one server's copy of the log.
type Replica struct{}

// Open verifies and opens the log in cfg.DataDir and starts Raft.
func Open(cfg Config) (*Replica, error) { return nil, errors.New("open replica: not written yet") }

// Run keeps the replica until ctx ends, then hands leadership over if it can
// and closes. It ends with an error when the disk fails.
func (r *Replica) Run(ctx context.Context) error {
	return errors.New("run replica: not written yet")
}

// HasState reports whether this server was ever part of a cluster.
func (r *Replica) HasState() bool { return false }

// Bootstrap makes servers the first configuration. It is done once in a
// cluster's life, on one server.
func (r *Replica) Bootstrap(servers []Server) error {
	return errors.New("bootstrap: not written yet")
}

// Propose commits data and returns its index and the FSM's result.
func (r *Replica) Propose(ctx context.Context, data []byte) (uint64, any, error) {
	return 0, nil, errors.New("propose: not written yet")
}

// ProposeAsync proposes data and returns at once. Entries commit in the order
// of the calls.
func (r *Replica) ProposeAsync(data []byte) *Future { return nil }

// Future is a proposal under way.
type Future struct{}

// Wait returns what Propose would.
func (f *Future) Wait(ctx context.Context) (uint64, any, error) {
	return 0, nil, errors.New("propose: not written yet")
}

// Verify asks a majority whether this server is still the leader.
func (r *Replica) Verify(ctx context.Context) error { return errors.New("verify: not written yet") }

// Barrier waits until all that was committed before is applied here.
func (r *Replica) Barrier(ctx context.Context) error { return errors.New("barrier: not written yet") }

// Leadership tells each time this server becomes (true) or stops being
// (false) the leader, every change in order. It has one reader.
func (r *Replica) Leadership() <-chan bool { return nil }

// IsLeader reports whether this server thinks it is the leader.
func (r *Replica) IsLeader() bool { return false }

// Leader returns who the leader is, as far as this server knows.
func (r *Replica) Leader() (id, addr string, known bool) { return "", "", false }

// LastContact is how long ago the leader was heard of; 0 on the leader itself.
func (r *Replica) LastContact() time.Duration { return 0 }

// AddVoter adds a server, or changes its address.
func (r *Replica) AddVoter(ctx context.Context, id, addr string) error {
	return errors.New("add voter: not written yet")
}

// RemoveServer removes a server from the configuration.
func (r *Replica) RemoveServer(ctx context.Context, id string) error {
	return errors.New("remove server: not written yet")
}

// Configuration returns the latest configuration and its index.
func (r *Replica) Configuration() ([]Server, uint64, error) {
	return nil, 0, errors.New("read configuration: not written yet")
}

// TransferLeadership hands leadership to another server, to the one named or,
// with an empty id, to the most up to date.
func (r *Replica) TransferLeadership(ctx context.Context, id string) error {
	return errors.New("transfer leadership: not written yet")
}

// Snapshot takes a snapshot now.
func (r *Replica) Snapshot(ctx context.Context) error {
	return errors.New("snapshot: not written yet")
}

// Stats returns figures of the log.
func (r *Replica) Stats() Stats { return Stats{} }
