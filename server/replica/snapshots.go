package replica

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	metaJSON = "meta.json"
	// sumFile holds the checksum of a snapshot's description, which the
	// library keeps without one. It is written last; a snapshot that a crash
	// left without it is still good.
	sumFile = "meta.sum"
)

// snapshotStore keeps snapshots as files, each with its description sealed.
type snapshotStore struct {
	*raft.FileSnapshotStore
	dir string
}

// openSnapshots verifies the snapshots in dir/snapshots. It also returns the
// newest's index, 0 if there is none.
func openSnapshots(dir string, logger hclog.Logger) (*snapshotStore, uint64, error) {
	s := &snapshotStore{dir: filepath.Join(dir, "snapshots")}
	newest, err := s.verify()
	if err != nil {
		return nil, 0, err
	}
	if s.FileSnapshotStore, err = raft.NewFileSnapshotStoreWithLogger(dir, retainSnapshots, logger); err != nil {
		return nil, 0, fmt.Errorf("open snapshots: %w", err)
	}
	return s, newest, nil
}

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64,
	conf raft.Configuration, confIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, conf, confIndex, trans)
	if err != nil {
		return nil, err
	}
	return &sealedSink{SnapshotSink: sink, dir: filepath.Join(s.dir, sink.ID())}, nil
}

type sealedSink struct {
	raft.SnapshotSink
	dir string
}

// Close implements raft.SnapshotSink.
func (s *sealedSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	sum, err := metaSum(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was cancelled
	}
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(s.dir, sumFile+".tmp"))
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, sum)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(s.dir, sumFile))
}

func metaSum(dir string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, metaJSON))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%08x\n", crc32.Checksum(raw, castagnoli())), nil
}

// verify reads the newest snapshot whole, and what the others say of
// themselves: the library would silently fall back to an older one.
func (s *snapshotStore) verify() (newest uint64, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read snapshots: %w", err)
	}
	all, err := raft.NewFileSnapshotStore(filepath.Dir(s.dir), len(entries)+1, io.Discard)
	if err != nil {
		return 0, fmt.Errorf("open snapshots: %w", err)
	}
	list, err := all.List()
	if err != nil {
		return 0, fmt.Errorf("list snapshots: %w", err)
	}
	if err := s.sealed(entries, list); err != nil || len(list) == 0 {
		return 0, err
	}
	_, content, err := all.Open(list[0].ID)
	if err != nil {
		return 0, &DamageError{Path: filepath.Join(s.dir, list[0].ID), What: err.Error()}
	}
	return list[0].Index, content.Close()
}

// sealed finds finished snapshots whose description is not what was written.
func (s *snapshotStore) sealed(entries []os.DirEntry, list []*raft.SnapshotMeta) error {
	known := map[string]bool{}
	for _, meta := range list {
		known[meta.ID] = true
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		path := filepath.Join(s.dir, e.Name())
		want, err := os.ReadFile(filepath.Join(path, sumFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read snapshot: %w", err)
		}
		have, sumErr := metaSum(path)
		if !known[e.Name()] || sumErr != nil || err == nil && have != string(want) {
			return &DamageError{Path: filepath.Join(path, metaJSON), What: "the snapshot's description fails its checksum"}
		}
	}
	return nil
}
