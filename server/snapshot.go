package server

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/steppe-run/steppe/internal/archive"
	"github.com/steppe-run/steppe/state/tables"
)

// SavedState is the state of the region in one file, which has no name: nothing is
// left of it once it is closed, or the server has ended.
type SavedState struct {
	*os.File
	Index  uint64
	Size   int64
	Digest [sha256.Size]byte
}

// SaveState writes the state as it is now into an archive. On the leader it has
// everything that was acknowledged before the call.
func (s *Server) SaveState(ctx context.Context) (*SavedState, error) {
	if s.IsLeader() {
		if err := s.ConsistentIndex(ctx); err != nil {
			return nil, err
		}
	}
	plain, err := scratch(s.cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("save state: %w", err)
	}
	defer func() { _ = plain.Close() }() // what was read of it is checked by its sums
	meta, err := s.persistTo(plain)
	if err != nil {
		return nil, fmt.Errorf("save state: %w", err)
	}
	out, err := scratch(s.cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("save state: %w", err)
	}
	saved := &SavedState{File: out, Index: meta.Index}
	if err := saved.fill(meta, plain); err != nil {
		return nil, errors.Join(fmt.Errorf("save state: %w", err), saved.Close())
	}
	return saved, nil
}

// scratch makes a file in a folder that only who holds it open can find.
func scratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "snapshot-*.tmp")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// persistTo writes the state to a file, and leaves that at its beginning.
func (s *Server) persistTo(f *os.File) (archive.Meta, error) {
	snap := s.store.Snapshot()
	m := archive.Meta{
		Index: snap.Index(), Term: s.replica.Stats().Term, Time: s.cfg.Clock.Now().UTC(),
		Version: s.cfg.Version, Server: s.cfg.Name, Region: s.cfg.Region,
	}
	if err := snap.Persist(f); err != nil {
		return m, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return m, err
	}
	m.Size = size
	sizes, err := tables.Measure(f)
	if err != nil {
		return m, err
	}
	for _, t := range sizes {
		m.Tables = append(m.Tables, archive.Table{Name: t.Kind, Count: t.Count, Bytes: t.Bytes})
	}
	_, err = f.Seek(0, io.SeekStart)
	return m, err
}

// fill writes the archive, and leaves the file at its beginning.
func (s *SavedState) fill(m archive.Meta, plain io.Reader) error {
	sum := sha256.New()
	out := bufio.NewWriterSize(s.File, 1<<16)
	if err := archive.Write(io.MultiWriter(out, sum), m, plain); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	s.Digest = [sha256.Size]byte(sum.Sum(nil))
	var err error
	if s.Size, err = s.Seek(0, io.SeekCurrent); err == nil {
		_, err = s.Seek(0, io.SeekStart)
	}
	return err
}
