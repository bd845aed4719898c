// Package identity keeps a server's name for life: an ID made on the first start
// and held in the data directory. Raft knows the server by it, so it must
// neither change nor be copied to another machine.
//
// It must not know what else lies in the data directory. Begin reading at Of.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/steppe-run/steppe/internal/ids"
)

// Of returns a server's identity for life, made on the first start
// and kept in its data directory.
func Of(dataDir string) (string, error) {
	path := filepath.Join(dataDir, "server-id")
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writeID(path)
	case err != nil:
		return "", fmt.Errorf("read server id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if !ids.Valid(id) {
		return "", fmt.Errorf("read server id: %s holds no id; restore it, or remove the whole data directory to join as a new server", path)
	}
	return id, nil
}

func writeID(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	id := ids.New()
	if err := writeDurably(path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("write server id: %w", err)
	}
	return id, nil
}

// writeDurably leaves the whole file or none, also if the power fails.
func writeDurably(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
