package allocdir

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// parts are the directories that an ephemeral disk keeps, slash separated: what
// the tasks share and what each has of its own.
func parts(tasks []string) []string {
	out := []string{path.Join(SharedName, DataName)}
	for _, task := range tasks {
		out = append(out, path.Join(task, LocalName))
	}
	return out
}

// Pack writes what the ephemeral disk keeps as a tar archive: directories,
// files and symbolic links, the latter as they are. Anything else has no
// content that could be moved and is left out. The tasks must have ended.
func (d Dir) Pack(w io.Writer, tasks []string) error {
	out := tar.NewWriter(w)
	for _, part := range parts(tasks) {
		parent, last, err := d.walk(part)
		if err != nil {
			continue // this task has left nothing
		}
		err = pack(out, parent, last, part)
		_ = parent.Close() // nothing was written through it
		if err != nil {
			return fmt.Errorf("pack ephemeral disk: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("pack ephemeral disk: %w", err)
	}
	return nil
}

// pack adds one entry of a directory, and all that is below it.
func pack(out *tar.Writer, parent *os.Root, last, name string) error {
	info, err := parent.Lstat(last)
	if err != nil {
		return nil // it vanished while we walked, or never was
	}
	switch {
	case info.IsDir():
		return packDir(out, parent, last, name, info)
	case info.Mode().IsRegular():
		return packFile(out, parent, last, name, info)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := parent.Readlink(last)
		if err != nil {
			return err
		}
		return packHeader(out, info, name, target)
	}
	return nil
}

func packHeader(out *tar.Writer, info fs.FileInfo, name, target string) error {
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name, header.Uname, header.Gname, header.Format = name, "", "", tar.FormatPAX
	return out.WriteHeader(header)
}

func packDir(out *tar.Writer, parent *os.Root, last, name string, info fs.FileInfo) error {
	dir, err := descend(parent, last)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // nothing was written through it
	if err := packHeader(out, info, name+"/", ""); err != nil {
		return err
	}
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := pack(out, dir, entry.Name(), path.Join(name, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func packFile(out *tar.Writer, parent *os.Root, last, name string, before fs.FileInfo) error {
	f, err := parent.OpenFile(last, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil || !os.SameFile(before, info) {
		return fmt.Errorf("%s: %w", name, ErrUnsafe)
	}
	if err := packHeader(out, info, name, ""); err != nil {
		return err
	}
	_, err = io.CopyN(out, f, info.Size())
	return err
}

// Move renames the shared data and each task's local directory of a previous
// allocation into this one, for a sticky ephemeral disk on the same node.
func (d Dir) Move(previous Dir, tasks []string) error {
	return d.adopt(previous.id, tasks)
}

// adopt renames the parts of a disk that lie below from, a path below the base.
func (d Dir) adopt(source string, tasks []string) error {
	if d.base.Nowhere {
		return nil
	}
	root, err := os.OpenRoot(d.base.Path)
	if err != nil {
		return fmt.Errorf("move ephemeral disk: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	for _, part := range parts(tasks) {
		from, to := filepath.Join(source, part), filepath.Join(d.id, part)
		if info, err := root.Lstat(from); err != nil || !info.IsDir() {
			continue
		}
		if err := root.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("move ephemeral disk: %w", err)
		}
		if err := root.RemoveAll(to); err != nil {
			return fmt.Errorf("move ephemeral disk: %w", err)
		}
		if err := root.Rename(from, to); err != nil {
			return fmt.Errorf("move ephemeral disk: %w", err)
		}
	}
	return nil
}
