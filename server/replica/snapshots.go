package replica

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
)

// verifySnapshots reads the newest snapshot whole, and what the others say of
// themselves: the library would silently fall back to an older one. It returns
// the newest's index, 0 if there is none.
func verifySnapshots(dir string) (uint64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read snapshots: %w", err)
	}
	store, err := raft.NewFileSnapshotStore(filepath.Dir(dir), len(entries)+1, io.Discard)
	if err != nil {
		return 0, fmt.Errorf("open snapshots: %w", err)
	}
	list, err := store.List()
	if err != nil {
		return 0, fmt.Errorf("list snapshots: %w", err)
	}
	if err := allListed(dir, entries, list); err != nil || len(list) == 0 {
		return 0, err
	}
	_, content, err := store.Open(list[0].ID)
	if err != nil {
		return 0, &DamageError{Path: filepath.Join(dir, list[0].ID), What: err.Error()}
	}
	return list[0].Index, content.Close()
}

// allListed finds finished snapshots that the library could not read.
func allListed(dir string, entries []os.DirEntry, list []*raft.SnapshotMeta) error {
	known := map[string]bool{}
	for _, meta := range list {
		known[meta.ID] = true
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") && !known[e.Name()] {
			return &DamageError{Path: filepath.Join(dir, e.Name()), What: "the snapshot's description can't be read"}
		}
	}
	return nil
}
