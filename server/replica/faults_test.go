package replica

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// faultFS is a disk that fails at a chosen operation, for good, and that can
// lose what was not synced.
type faultFS struct {
	types.VFS

	mu   sync.Mutex
	left int // operations until it fails; 0: it has failed
	// full says that writes fail for lack of room, after a part of the bytes;
	// else the disk reports an error.
	full, syncsOnly bool
	undo            []func() error // restores what was there before, newest last
}

func (f *faultFS) count(sync bool) (failed bool) {
	if f.syncsOnly && !sync {
		return false
	}
	if f.left > 0 {
		f.left--
	}
	return f.left == 0
}

// loseUnsynced is a power failure: what was written since the last sync is
// gone.
func (f *faultFS) loseUnsynced(t *testing.T) {
	t.Helper()
	for _, u := range slices.Backward(f.undo) {
		if err := u(); err != nil {
			t.Fatal(err)
		}
	}
}

// Create implements types.VFS.
func (f *faultFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	w, err := f.VFS.Create(dir, name, size)
	return &faultFile{w, f, filepath.Join(dir, name)}, err
}

// OpenWriter implements types.VFS.
func (f *faultFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	w, err := f.VFS.OpenWriter(dir, name)
	return &faultFile{w, f, filepath.Join(dir, name)}, err
}

type faultFile struct {
	types.WritableFile
	fs   *faultFS
	path string
}

// WriteAt implements io.WriterAt.
func (w *faultFile) WriteAt(p []byte, at int64) (int, error) {
	f := w.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	var fault error
	if f.count(false) {
		fault = syscall.EIO
		if p = p[:len(p)/2]; f.full {
			fault = syscall.ENOSPC
		}
	}
	before := make([]byte, len(p))
	n, _ := w.ReadAt(before, at) // what lies beyond the end counts as zeros
	clear(before[n:])
	f.undo = append(f.undo, func() error {
		file, err := os.OpenFile(w.path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = file.WriteAt(before, at)
		return errors.Join(err, file.Close())
	})
	n, err := w.WritableFile.WriteAt(p, at)
	return n, errors.Join(err, fault)
}

// Sync implements types.WritableFile. What was written before a sync that
// fails may be lost.
func (w *faultFile) Sync() error {
	f := w.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count(true) {
		return syscall.EIO
	}
	f.undo = nil
	return w.WritableFile.Sync()
}

// Wherever the disk fails and whatever is lost with the power: what was
// acknowledged is there after a restart, the failure is told once and for all,
// and a restart alone brings the log back.
func TestAFailingDiskLosesNothingAcknowledged(t *testing.T) {
	const points = 60
	kinds := map[string]struct{ full, syncsOnly bool }{
		"an error on writing or syncing": {},
		"a full disk":                    {full: true},
		"an error on syncing":            {syncsOnly: true},
	}
	for name, kind := range kinds {
		for _, power := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, power lost: %v", name, power), func(t *testing.T) {
				t.Parallel()
				for point := 1; point <= points; point++ {
					f := &faultFS{VFS: walfs.New(), left: point, full: kind.full, syncsOnly: kind.syncsOnly}
					failAt(t, f, power)
				}
			})
		}
	}
}

// failAt writes until the disk fails, ends there, and starts again on a disk
// that works.
func failAt(t *testing.T, f *faultFS, power bool) {
	t.Helper()
	point := f.left
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	var told error
	acknowledged := uint64(0)
	d, err := openDiskLog(dir, f, testSegment, hclog.NewNullLogger(), func(err error) { told = err })
	if err == nil {
		for i := uint64(1); i < 1000; i++ {
			if err = d.StoreLog(entry(i)); err != nil {
				break
			}
			acknowledged = i
		}
		if err == nil {
			t.Fatalf("point %d: the disk never failed", point)
		}
		if told == nil {
			t.Errorf("point %d: the server doesn't learn of the failure: %v", point, err)
		}
		f.mu.Lock()
		f.left = -1 // the disk works again, but what it did with the failed write nobody knows
		f.mu.Unlock()
		if err := d.StoreLog(entry(acknowledged + 1)); err == nil {
			t.Errorf("point %d: a disk that failed was asked again", point)
		}
		f.mu.Lock()
		f.left = 0 // nothing reaches the disk any more
		f.mu.Unlock()
		_ = d.close() // the process ends, orderly or not
	}
	if power {
		f.loseUnsynced(t)
	}
	last, refused := readLog(t, dir, fmt.Sprintf("failure at point %d", point), true)
	if refused || last < acknowledged {
		t.Errorf("point %d: %d entries were acknowledged, %d are there, refused: %v", point, acknowledged, last, refused)
	}
}
