package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

const metaFile = metadb.FileName

// diskLog is the log on disk, verified: a record that reads differently from
// how it was written is an error, never data, and after one failed write
// nothing is written any more.
type diskLog struct {
	dir     string
	wal     *wal.WAL
	witness *witness
	fail    func(error)
	serving atomic.Bool // opened and verified

	mu      sync.Mutex // one writer; guards what follows
	durable uint64     // the last index on disk
	broken  error
}

// openDiskLog opens the log in dir/wal and verifies all of it. Its records are
// read and written through vfs.
func openDiskLog(dir string, vfs types.VFS, segmentSize int, logger hclog.Logger, fail func(error)) (*diskLog, error) {
	d := &diskLog{dir: filepath.Join(dir, "wal"), fail: fail}
	w, acknowledged, err := openWitness(filepath.Join(dir, "durable"))
	if err != nil {
		return nil, err
	}
	d.witness = w
	stored, err := d.openWAL(vfs, segmentSize, logger)
	if err == nil {
		err = d.verify(max(stored, acknowledged))
	}
	if err == nil {
		err = w.set(d.durable)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.serving.Store(true)
	return d, nil
}

// openWAL opens the library's log. It returns the highest index that a record
// in the newest file says was stored, which is read before the library may
// discard anything.
func (d *diskLog) openWAL(vfs types.VFS, segmentSize int, logger hclog.Logger) (stored uint64, err error) {
	defer recoverDamage(filepath.Join(d.dir, metaFile), &err)
	if err := d.checkMeta(); err != nil {
		return 0, err
	}
	meta := &metadb.BoltMetaDB{}
	state, err := meta.Load(d.dir)
	if err != nil {
		return 0, errors.Join(&DamageError{Path: filepath.Join(d.dir, metaFile), What: err.Error()}, closeMeta(meta))
	}
	if n := len(state.Segments); n > 0 && state.Segments[n-1].SealTime.IsZero() {
		newest := filepath.Join(d.dir, segment.FileName(state.Segments[n-1]))
		if stored, err = highestDurable(newest); err != nil {
			return 0, errors.Join(err, closeMeta(meta))
		}
	}
	d.wal, err = wal.Open(d.dir, wal.WithMetaStore(meta), wal.WithSegmentSize(segmentSize), wal.WithLogger(logger),
		wal.WithSegmentFiler(segment.NewFiler(d.dir, vfs)))
	if err == nil {
		return stored, nil
	}
	err = errors.Join(err, closeMeta(meta))
	if errors.Is(err, types.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		return 0, &DamageError{Path: d.dir, What: err.Error()}
	}
	return 0, fmt.Errorf("open the log in %s: %w", d.dir, err)
}

func closeMeta(m *metadb.BoltMetaDB) error {
	if err := m.Close(); err != nil && !errors.Is(err, metadb.ErrUnintialized) {
		return err
	}
	return nil
}

// checkMeta refuses a log whose list of files is gone: the library would take
// it for an empty one and remove the files.
func (d *diskLog) checkMeta() error {
	path := filepath.Join(d.dir, metaFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := filepath.Glob(filepath.Join(d.dir, "*.wal"))
	if err != nil || len(files) == 0 {
		return err
	}
	return &DamageError{Path: path, What: "it is missing, but files of the log are there"}
}

// verify reads every record. The log must reach at least to the index that is
// known to have been stored.
func (d *diskLog) verify(stored uint64) error {
	first, err := d.wal.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	last, err := d.wal.LastIndex()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if last < stored {
		return &DamageError{Path: d.dir, What: fmt.Sprintf("the log now ends at entry %d, but it was stored up to entry %d", last, stored)}
	}
	for index := first; index != 0 && index <= last; index++ {
		var l raft.Log
		if err := d.GetLog(index, &l); err != nil {
			return err
		}
	}
	d.durable = last
	return nil
}

// joins checks that no entry is missing between a snapshot and the log.
func (d *diskLog) joins(snapshot uint64) error {
	first, err := d.FirstIndex()
	if err != nil {
		return err
	}
	if first > snapshot+1 {
		return &DamageError{Path: d.dir, What: fmt.Sprintf("the log begins at entry %d, but the newest snapshot ends at entry %d", first, snapshot)}
	}
	return nil
}

func (d *diskLog) close() error {
	var errs []error
	if d.wal != nil {
		errs = append(errs, d.wal.Close())
	}
	return errors.Join(append(errs, d.witness.close())...)
}

// IsMonotonic implements raft.MonotonicLogStore.
func (d *diskLog) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (d *diskLog) FirstIndex() (uint64, error) { return d.wal.FirstIndex() }

// LastIndex implements raft.LogStore.
func (d *diskLog) LastIndex() (uint64, error) { return d.wal.LastIndex() }

// GetLog implements raft.LogStore.
func (d *diskLog) GetLog(index uint64, l *raft.Log) (err error) {
	defer recoverDamage(d.dir, &err)
	err = d.wal.GetLog(index, l)
	if errors.Is(err, types.ErrNotFound) || errors.Is(err, types.ErrClosed) {
		return err
	}
	if err == nil {
		err = openRecord(index, l)
	}
	if err != nil {
		err = &DamageError{Path: d.dir, What: fmt.Sprintf("entry %d can't be read back: %s", index, err)}
		d.stall(err)
	}
	return err
}

// stall stops who reads a damaged entry while the server runs: the library
// would answer an error with a panic, but the server is to end in order.
func (d *diskLog) stall(err error) {
	if d.serving.Load() {
		d.fail(err)
		select {}
	}
}

// recoverDamage turns a panic of the library over bytes that it didn't expect
// into an error.
func recoverDamage(path string, err *error) {
	if p := recover(); p != nil {
		*err = &DamageError{Path: path, What: fmt.Sprint(p)}
	}
}

// StoreLog implements raft.LogStore.
func (d *diskLog) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (d *diskLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	return d.write(func() error {
		sealed := make([]*raft.Log, len(logs))
		for i, l := range logs {
			sealed[i] = sealRecord(l, d.durable)
		}
		if err := d.wal.StoreLogs(sealed); err != nil {
			return fmt.Errorf("store entries in %s: %w", d.dir, err)
		}
		d.durable = logs[len(logs)-1].Index
		return d.witness.set(d.durable)
	})
}

// DeleteRange implements raft.LogStore.
func (d *diskLog) DeleteRange(from, to uint64) error {
	return d.write(func() error {
		if to >= d.durable && from <= d.durable {
			d.durable = from - 1
			if err := d.witness.lower(d.durable); err != nil {
				return err
			}
		}
		if err := d.wal.DeleteRange(from, to); err != nil {
			return fmt.Errorf("remove entries from %s: %w", d.dir, err)
		}
		return nil
	})
}

// write does one change of the log. A disk that failed once is not asked
// again: what it did with the failed write nobody knows.
func (d *diskLog) write(change func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return d.broken
	}
	if err := change(); err != nil {
		d.broken = fmt.Errorf("an earlier write failed: %w", err)
		d.fail(err)
		return err
	}
	return nil
}
