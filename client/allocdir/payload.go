package allocdir

import (
	"fmt"
	"os"
	"path/filepath"
)

// WriteLocal stores a file in a task's local directory, which the task sees. The
// path may have directories; it can't lead out of there.
func (d Dir) WriteLocal(task, path string, data []byte) error {
	if d.base.Nowhere {
		return nil
	}
	root, err := os.OpenRoot(filepath.Join(d.Path(), task, LocalName))
	if err != nil {
		return fmt.Errorf("write file for task: %w", err)
	}
	defer func() { _ = root.Close() }() // what was written is closed below
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write file for task: %w", err)
	}
	if err := root.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write file for task: %w", err)
	}
	return nil
}
