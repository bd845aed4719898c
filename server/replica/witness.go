package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// witness remembers, beside the log, up to which index it was on disk. It is
// written after each batch without waiting for the disk, so it may lag behind
// after a power failure, but it is never ahead; after a mere crash it is
// exact. So the log's last batch, which no later record vouches for, can't be
// lost unnoticed.
type witness struct{ f *os.File }

const witnessSize = 12 // index, checksum

// openWitness returns the witness and what it says: 0 if it knows nothing.
func openWitness(path string) (*witness, uint64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open the log's witness: %w", err)
	}
	var b [witnessSize]byte
	_, err = f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, errors.Join(fmt.Errorf("read the log's witness: %w", err), f.Close())
	}
	if binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli()) {
		return &witness{f}, 0, nil
	}
	return &witness{f}, binary.LittleEndian.Uint64(b[:]), nil
}

// set notes that everything up to index is on disk.
func (w *witness) set(index uint64) error {
	var b [witnessSize]byte
	binary.LittleEndian.PutUint64(b[:], index)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[:8], castagnoli()))
	if _, err := w.f.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("write the log's witness: %w", err)
	}
	return nil
}

// lower is set before entries are removed: it must be on disk first, or the
// witness would be ahead.
func (w *witness) lower(index uint64) error {
	if err := w.set(index); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("write the log's witness: %w", err)
	}
	return nil
}

func (w *witness) close() error { return errors.Join(w.f.Sync(), w.f.Close()) }
