package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// checkedStable keeps Raft's term and vote with a checksum: a server that
// forgets whom it voted for could vote twice.
type checkedStable struct {
	store raft.StableStore
	fail  func(error)
	path  string
}

// errNotFound is known by its text: so the library asks for it.
var errNotFound = errors.New("not found")

// check reads what Raft will read.
func (s *checkedStable) check() error {
	for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"} {
		if _, err := s.Get([]byte(key)); err != nil && !errors.Is(err, errNotFound) {
			return err
		}
	}
	return nil
}

// Set implements raft.StableStore.
func (s *checkedStable) Set(key, val []byte) error {
	sealed := binary.LittleEndian.AppendUint32(nil, stableSum(key, val))
	if err := s.store.Set(key, append(sealed, val...)); err != nil {
		s.fail(fmt.Errorf("store %s: %w", key, err))
		return err
	}
	return nil
}

// Get implements raft.StableStore.
func (s *checkedStable) Get(key []byte) ([]byte, error) {
	sealed, err := s.store.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read %s from %s: %w", key, s.path, err)
	}
	if len(sealed) == 0 {
		return nil, errNotFound
	}
	if len(sealed) < 4 || binary.LittleEndian.Uint32(sealed) != stableSum(key, sealed[4:]) {
		return nil, &DamageError{Path: s.path, What: fmt.Sprintf("the stored %s fails its checksum", key)}
	}
	return sealed[4:], nil
}

// SetUint64 implements raft.StableStore.
func (s *checkedStable) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.LittleEndian.AppendUint64(nil, val))
}

// GetUint64 implements raft.StableStore.
func (s *checkedStable) GetUint64(key []byte) (uint64, error) {
	val, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(val) != 8 {
		return 0, &DamageError{Path: s.path, What: fmt.Sprintf("the stored %s is no number", key)}
	}
	return binary.LittleEndian.Uint64(val), nil
}

func stableSum(key, val []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli()), castagnoli(), val)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
