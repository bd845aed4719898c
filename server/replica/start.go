package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	walfs "github.com/hashicorp/raft-wal/fs"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

const (
	retainSnapshots = 2
	cachedEntries   = 512
	// entriesAtOnce is how many proposals share one write of the disk, and one
	// message to a follower.
	entriesAtOnce = 256
)

func (c Config) withDefaults() Config {
	setDefault(&c.Multiplier, 1)
	setDefault(&c.SnapshotThreshold, 8192)
	setDefault(&c.SnapshotInterval, 120*time.Second)
	setDefault(&c.TrailingLogs, 10240)
	setDefault(&c.SegmentSize, 64<<20)
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	if c.Logger == nil {
		c.Logger = logx.Discard()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// raftConfig chooses the timeouts. A follower notices that the leader is lost after
// one to two of its timeouts, or, if that was heard just before it looked, after as
// much again; writes usually resume within 1.7 s. Less would make a busy machine lose
// leaders that are alive.
func (c Config) raftConfig(logger hclog.Logger, notify chan<- bool) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(c.ID)
	conf.Logger = logger
	conf.NotifyCh = notify
	conf.HeartbeatTimeout = 750 * time.Millisecond
	conf.ElectionTimeout = 750 * time.Millisecond
	conf.LeaderLeaseTimeout = 600 * time.Millisecond
	conf.CommitTimeout = 25 * time.Millisecond
	if c.Dev {
		conf.HeartbeatTimeout = 50 * time.Millisecond
		conf.ElectionTimeout = 50 * time.Millisecond
		conf.LeaderLeaseTimeout = 50 * time.Millisecond
	}
	conf.HeartbeatTimeout *= time.Duration(c.Multiplier)
	conf.ElectionTimeout *= time.Duration(c.Multiplier)
	conf.LeaderLeaseTimeout *= time.Duration(c.Multiplier)
	conf.MaxAppendEntries = entriesAtOnce
	conf.BatchApplyCh = true
	conf.ShutdownOnRemove = false // a removed server may be added again
	conf.SnapshotThreshold = c.SnapshotThreshold
	conf.SnapshotInterval = c.SnapshotInterval
	conf.TrailingLogs = c.TrailingLogs
	conf.NoLegacyTelemetry = true
	return conf
}

func (r *Replica) startRaft() error {
	logger := bridge(r.log, 1)
	notify := make(chan bool, 1)
	r.layer = newStreamLayer(r.cfg.Listener, r.cfg.Addr, r.cfg.Dial)
	r.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: r.layer, MaxPool: 3, Timeout: 10 * time.Second, Logger: bridge(r.log, 2),
	})
	logs, err := raft.NewLogCache(cachedEntries, r.disk)
	if err != nil {
		return err
	}
	r.raft, err = raft.NewRaft(r.cfg.raftConfig(logger, notify), r.machine, logs, r.stable, r.snaps, r.trans)
	if err != nil {
		return errors.Join(err, r.trans.Close())
	}
	if list, err := r.snaps.List(); err == nil && len(list) > 0 {
		r.machine.configured.CompareAndSwap(0, list[0].ConfigurationIndex)
	}
	r.group = loop.New(context.Background())
	r.group.Go("relay leadership", func(ctx context.Context) error {
		r.relay(ctx, notify)
		return nil
	})
	return nil
}

// relay passes every change of leadership on, in order, and never lets Raft
// wait for a slow reader.
func (r *Replica) relay(ctx context.Context, notify <-chan bool) {
	var queue []bool
	for {
		var out chan<- bool
		var next bool
		if len(queue) > 0 {
			out, next = r.leadership, queue[0]
		}
		select {
		case lead := <-notify:
			queue = append(queue, lead)
		case out <- next:
			queue = queue[1:]
		case <-ctx.Done():
			return
		}
	}
}

// openDisk opens and verifies everything that is kept.
func (r *Replica) openDisk() error {
	dir := filepath.Join(r.cfg.DataDir, "raft")
	if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o700); err != nil {
		return fmt.Errorf("make the log's directory: %w", err)
	}
	if err := r.lockDir(dir); err != nil {
		return err
	}
	logger := bridge(r.log, 1)
	var err error
	if r.disk, err = openDiskLog(dir, walfs.New(), r.cfg.SegmentSize, logger, r.fail); err != nil {
		return err
	}
	r.stable = &checkedStable{store: r.disk.wal, fail: r.fail, path: filepath.Join(dir, "wal", metaFile)}
	if err := r.stable.check(); err != nil {
		return err
	}
	snaps, newest, err := openSnapshots(dir, logger)
	if err != nil {
		return err
	}
	r.snaps = snaps
	if err := r.disk.joins(newest); err != nil {
		return err
	}
	r.hadState, err = raft.HasExistingState(r.disk, r.stable, r.snaps)
	return err
}

// lockDir makes sure that no other process writes the same log.
func (r *Replica) lockDir(dir string) error {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock the log's directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return fmt.Errorf("the log in %s is in use by another agent: stop it, or give this one a data_dir of its own", dir)
	}
	r.lock = f
	return nil
}

func (r *Replica) closeDisk() error {
	var errs []error
	if r.disk != nil {
		errs = append(errs, r.disk.close())
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
	}
	return errors.Join(errs...)
}

// machine is an FSM as the library wants it. It also remembers where Raft's
// configuration stands in the log, which the library doesn't tell.
type machine struct {
	fsm        FSM
	configured atomic.Uint64
}

var _ raft.BatchingFSM = (*machine)(nil)

// Apply implements raft.FSM. The library calls ApplyBatch instead.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	entries, at := make([]Entry, 0, len(logs)), make([]int, 0, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogConfiguration {
			m.configured.Store(l.Index)
			continue
		}
		entries, at = append(entries, Entry{l.Index, l.Data}), append(at, i)
	}
	if len(entries) == 0 {
		return results
	}
	for i, result := range m.fsm.Apply(entries) {
		results[at[i]] = result
	}
	return results
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	s, err := m.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	return captured{s}, nil
}

// Restore implements raft.FSM.
func (m *machine) Restore(r io.ReadCloser) error {
	return errors.Join(m.fsm.Restore(r), r.Close())
}

// captured is a Snapshot as the library wants it.
type captured struct{ s Snapshot }

// Persist implements raft.FSMSnapshot.
func (c captured) Persist(sink raft.SnapshotSink) error {
	if err := c.s.Persist(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (c captured) Release() {}
