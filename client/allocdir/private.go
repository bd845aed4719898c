package allocdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxPrivate is the most that is read of a private file.
const maxPrivate = 1 << 20

// WritePrivate stores a file in a task's private directory, which neither the
// task nor the API sees.
func (d Dir) WritePrivate(task, name string, data []byte) error {
	if d.base.Nowhere {
		return nil
	}
	root, err := os.OpenRoot(filepath.Join(d.Path(), task, PrivateName))
	if err != nil {
		return fmt.Errorf("write private file: %w", err)
	}
	defer func() { _ = root.Close() }() // what was written is closed below
	if err := root.WriteFile(name+".new", data, 0o600); err != nil {
		return fmt.Errorf("write private file: %w", err)
	}
	if err := root.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write private file: %w", err)
	}
	return nil
}

// ReadPrivate reads what WritePrivate has stored.
func (d Dir) ReadPrivate(task, name string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Join(d.Path(), task, PrivateName))
	if err != nil {
		return nil, fmt.Errorf("read private file: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("read private file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read private file: %w", ErrUnsafe)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPrivate))
	if err != nil {
		return nil, fmt.Errorf("read private file: %w", err)
	}
	return data, nil
}

// Tasks names the tasks that have a directory.
func (d Dir) Tasks() ([]string, error) {
	entries, err := os.ReadDir(d.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list task directories: %w", err)
	}
	var out []string
	for _, entry := range entries {
		if entry.IsDir() && entry.Name() != SharedName {
			out = append(out, entry.Name())
		}
	}
	return out, nil
}
