package allocdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"github.com/steppe-run/steppe/structs"
)

// ErrHidden is returned for paths that people may not read through the API:
// the secrets of tasks.
var ErrHidden = errors.New("this path holds secrets and is not readable through the API")

// ErrUnsafe is returned for what is neither a plain file nor a directory: a
// symbolic link, a device, a pipe or a socket.
var ErrUnsafe = errors.New("not a regular file or directory (links, pipes, sockets and devices are not followed)")

// OpenFile opens a regular file for reading. name is slash separated and
// relative to the allocation's directory; a leading slash is allowed.
func (d Dir) OpenFile(name string) (*os.File, error) {
	parent, last, err := d.walk(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = parent.Close() }() // nothing was written through it
	before, err := parent.Lstat(last)
	if err != nil {
		return nil, clean(name, err)
	}
	if !before.Mode().IsRegular() {
		if before.IsDir() {
			return nil, fmt.Errorf("read %s: it is a directory", name)
		}
		return nil, fmt.Errorf("read %s: %w", name, ErrUnsafe)
	}
	// The name may be swapped between the look and the opening: a pipe must
	// not block us, and what was opened must be what was looked at.
	f, err := parent.OpenFile(last, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, clean(name, err)
	}
	after, err := f.Stat()
	if err != nil || !os.SameFile(before, after) {
		_ = f.Close() // only read
		return nil, fmt.Errorf("read %s: %w", name, ErrUnsafe)
	}
	return f, nil
}

// Stat describes a file or directory; for files it looks at the content.
func (d Dir) Stat(name string) (*structs.AllocFileInfo, error) {
	parent, last, err := d.walk(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = parent.Close() }() // nothing was written through it
	info, err := parent.Lstat(last)
	if err != nil {
		return nil, clean(name, err)
	}
	out := describe(info)
	if last == "." {
		out.Name = path.Base(d.id)
	}
	if info.Mode().IsRegular() {
		out.ContentType = d.contentType(name)
	}
	return out, nil
}

// List describes what a directory holds, sorted by name.
func (d Dir) List(name string) ([]*structs.AllocFileInfo, error) {
	parent, last, err := d.walk(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = parent.Close() }() // nothing was written through it
	dir, err := descend(parent, last)
	if err != nil {
		return nil, clean(name, err)
	}
	defer func() { _ = dir.Close() }() // nothing was written through it
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return nil, clean(name, err)
	}
	out := make([]*structs.AllocFileInfo, 0, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // it vanished while we listed
		}
		out = append(out, describe(info))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Usage adds up the bytes of all files, without following links.
func (d Dir) Usage() (int64, error) {
	root, err := os.OpenRoot(d.Path())
	if err != nil {
		return 0, fmt.Errorf("measure allocation directory: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	var total int64
	err = fs.WalkDir(root.FS(), ".", func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // vanished or of no size of its own
		}
		if info, err := entry.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total, err
}

// walk opens the directory that holds the last part of name, refusing every
// link on the way.
func (d Dir) walk(name string) (*os.Root, string, error) {
	parts, err := split(name)
	if err != nil {
		return nil, "", err
	}
	if len(parts) > 1 && parts[0] != SharedName && (parts[1] == SecretsName || parts[1] == PrivateName) {
		return nil, "", fmt.Errorf("read %s: %w", name, ErrHidden)
	}
	root, err := os.OpenRoot(d.Path())
	if err != nil {
		return nil, "", fmt.Errorf("open allocation directory: %w", err)
	}
	if len(parts) == 0 {
		return root, ".", nil
	}
	for _, part := range parts[:len(parts)-1] {
		next, err := descend(root, part)
		_ = root.Close() // nothing was written through it
		if err != nil {
			return nil, "", clean(name, err)
		}
		root = next
	}
	return root, parts[len(parts)-1], nil
}

// descend opens a directory below root, and fails if it is a link or becomes
// one meanwhile.
func descend(root *os.Root, name string) (*os.Root, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		if before.Mode()&os.ModeSymlink != 0 {
			return nil, ErrUnsafe
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	next, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	after, err := next.Stat(".")
	if err != nil || !os.SameFile(before, after) {
		_ = next.Close() // nothing was written through it
		return nil, ErrUnsafe
	}
	return next, nil
}

// split cuts a path into its parts; it may not climb above the allocation.
func split(name string) ([]string, error) {
	if strings.ContainsRune(name, 0) {
		return nil, fmt.Errorf("path contains a NUL: %w", fs.ErrInvalid)
	}
	trimmed := strings.TrimLeft(filepath.ToSlash(name), "/")
	if trimmed == "" {
		return nil, nil
	}
	cleaned := path.Clean(trimmed)
	if cleaned == "." {
		return nil, nil
	}
	if !filepath.IsLocal(cleaned) {
		return nil, fmt.Errorf("path %q leads out of the allocation: %w", name, fs.ErrInvalid)
	}
	return strings.Split(cleaned, "/"), nil
}

func (d Dir) contentType(name string) string {
	f, err := d.OpenFile(name)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return ""
	}
	return http.DetectContentType(head[:n])
}

func describe(info fs.FileInfo) *structs.AllocFileInfo {
	return &structs.AllocFileInfo{
		Name:     info.Name(),
		IsDir:    info.IsDir(),
		Size:     info.Size(),
		FileMode: info.Mode().String(),
		ModTime:  info.ModTime(),
	}
}

// clean names the path as people wrote it, and not where it is on the host.
func clean(name string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("read %s: %w", name, err)
}
