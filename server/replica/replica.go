// Package replica keeps the replicated log: Raft on disk, so that what a
// majority has stored is never lost, and every server applies the same
// commands in the same order.
//
// It must not know what a command means: it hands bytes to an FSM. It is the
// only room that knows the Raft library. Begin reading at Open; record.go and
// disklog.go say what protects the log against a bad disk.
package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// FSM is what the log drives. Apply, Snapshot and Restore are never called at
// the same time.
type FSM interface {
	// Apply performs committed entries in order. There are as many results: each
	// goes to who proposed its entry.
	Apply(entries []Entry) []any
	// Snapshot captures the state at once; it is written later, while further
	// entries are applied.
	Snapshot() (Snapshot, error)
	// Restore replaces the state by what a Snapshot wrote.
	Restore(r io.Reader) error
}

// Entry is what was proposed, at its place in the log.
type Entry struct {
	Index uint64
	Data  []byte
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
	// SegmentSize is the size of a file of the log in bytes.
	SegmentSize int
	Clock       clock.Clock
	Logger      *slog.Logger
}

// The ways in which a proposal fails that callers tell apart.
var (
	// ErrNotLeader means that nothing was proposed: ask the leader.
	ErrNotLeader error = structs.ErrNotLeader
	// ErrLeadershipLost means that the entry may or may not be committed.
	ErrLeadershipLost = errors.New("leadership was lost before the entry was known to be committed")
	// ErrClosed means that this server is stopping.
	ErrClosed = errors.New("this server is stopping")
)

// quiesce is how long closing waits for proposals that are under way.
const quiesce = 2 * time.Second

// raftStop is how long Raft itself has to stop: a slow disk may hold it up.
const raftStop = 15 * time.Second

// Replica is one server's copy of the log.
type Replica struct {
	cfg   Config
	clock clock.Clock
	log   *slog.Logger

	raft     *raft.Raft
	machine  *machine
	trans    *raft.NetworkTransport
	layer    *streamLayer
	disk     *diskLog
	stable   *checkedStable
	snaps    raft.SnapshotStore
	lock     *os.File
	failed   chan error // receives the first failure of the disk
	hadState bool

	group      *loop.Group // what relays and waits until close
	leadership chan bool

	mu      sync.Mutex // guards what follows
	closed  bool
	pending sync.WaitGroup // proposals; none begins once closed
}

// Open verifies and opens the log in cfg.DataDir and starts Raft. Run must
// follow, or Close.
func Open(cfg Config) (*Replica, error) {
	cfg = cfg.withDefaults()
	r := &Replica{
		cfg: cfg, clock: cfg.Clock, log: cfg.Logger, machine: &machine{fsm: cfg.FSM},
		failed: make(chan error, 1), leadership: make(chan bool),
	}
	if err := r.openDisk(); err != nil {
		return nil, errors.Join(err, r.closeDisk())
	}
	if err := r.startRaft(); err != nil {
		return nil, errors.Join(fmt.Errorf("start raft on %s: %w", cfg.DataDir, err), r.closeDisk())
	}
	return r, nil
}

// Run keeps the replica until ctx ends, then hands leadership over if it can
// and closes. It ends with an error when the disk fails: what can't be stored
// must not be acknowledged, and what was stored may not be readable.
func (r *Replica) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		r.handOver()
		return r.Close()
	case err := <-r.failed:
		r.log.Error("the disk failed: this server stops", logx.KeyPath, r.cfg.DataDir, logx.KeyError, err)
		if closeErr := r.Close(); closeErr != nil {
			r.log.Debug("close after a failed disk", logx.KeyError, closeErr)
		}
		return fmt.Errorf("the disk under %s failed, free or repair it and start again: %w", r.cfg.DataDir, err)
	}
}

// handOver gives leadership to another voter, so that nobody waits for an
// election.
func (r *Replica) handOver() {
	servers, _, err := r.Configuration()
	if err != nil || !r.IsLeader() || len(servers) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), quiesce)
	defer cancel()
	if err := r.TransferLeadership(ctx, ""); err != nil {
		r.log.Info("leadership could not be handed over", logx.KeyError, err)
	}
}

// Close stops Raft and closes the files, without handing leadership over.
func (r *Replica) Close() error {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	if again {
		return nil
	}
	r.within(quiesce, r.pending.Wait)
	shutdown := r.raft.Shutdown()
	var stopErr error
	stopped := r.within(raftStop, func() { stopErr = shutdown.Error() })
	r.trans.CloseStreams()
	r.layer.closeAll()
	r.group.Stop()
	if !stopped {
		return fmt.Errorf("close replica: raft did not stop within %s", raftStop)
	}
	r.within(quiesce, r.pending.Wait)
	err := errors.Join(stopErr, r.group.Wait())
	return errors.Join(err, r.closeDisk())
}

// within runs f, which can't be cancelled, and stops waiting for it after d.
func (r *Replica) within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	loop.New(context.Background()).Go("wait", func(context.Context) error {
		defer close(done)
		f()
		return nil
	})
	timer := r.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C():
		return false
	}
}

// fail remembers the first failure of the disk; Run ends with it.
func (r *Replica) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// HasState reports whether this server was ever part of a cluster.
func (r *Replica) HasState() bool {
	if r.hadState {
		return true
	}
	servers, _, err := r.Configuration()
	return err == nil && len(servers) > 0
}

// Bootstrap makes servers the first configuration. It is done once in a
// cluster's life, on one server.
func (r *Replica) Bootstrap(servers []Server) error {
	var conf raft.Configuration
	for _, s := range servers {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(s.ID), Address: raft.ServerAddress(s.Addr)})
	}
	if err := r.raft.BootstrapCluster(conf).Error(); err != nil {
		return fmt.Errorf("bootstrap cluster: %w", err)
	}
	return nil
}
