package allocdir

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// incomingName is where a disk is put together before it takes the place of
	// the empty one: what is half there is never seen.
	incomingName = ".incoming"
	// maxName is the longest name and the longest target of a link.
	maxName = 4096
	// maxDepth is how deep an entry may lie.
	maxDepth = 256
)

// ErrHostile says that an archive holds what no ephemeral disk can.
var ErrHostile = errors.New("the archive can't come from an ephemeral disk")

// ErrTooLarge says that an archive holds more than there is room for.
var ErrTooLarge = errors.New("the archive holds more than fits")

// Limits bound what is unpacked.
type Limits struct {
	// Bytes of all files together.
	Bytes int64
	// Entries are files, directories and links together.
	Entries int
}

// Unpack puts in place what Pack has written on another node. Where the archive
// comes from isn't trusted: nothing is written through a link, only the disk's
// own directories are written to, and neither devices nor set-user-id bits are
// made. If anything is wrong with the archive, the disk stays as it was.
func (d Dir) Unpack(r io.Reader, tasks []string, most Limits) error {
	if d.base.Nowhere {
		return nil
	}
	incoming := filepath.Join(d.id, SharedName, incomingName)
	root, err := os.OpenRoot(d.base.Path)
	if err != nil {
		return fmt.Errorf("unpack ephemeral disk: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	if err := root.RemoveAll(incoming); err != nil {
		return fmt.Errorf("unpack ephemeral disk: %w", err)
	}
	if err := root.MkdirAll(incoming, 0o700); err != nil {
		return fmt.Errorf("unpack ephemeral disk: %w", err)
	}
	err = unpackInto(root, incoming, r, tasks, most)
	if err == nil {
		err = d.adopt(incoming, tasks)
	}
	if err := errors.Join(err, root.RemoveAll(incoming)); err != nil {
		return fmt.Errorf("unpack ephemeral disk: %w", err)
	}
	return nil
}

func unpackInto(root *os.Root, incoming string, r io.Reader, tasks []string, most Limits) error {
	into, err := root.OpenRoot(incoming)
	if err != nil {
		return err
	}
	defer func() { _ = into.Close() }() // what was written is closed already
	u := &unpacker{into: into, parts: parts(tasks), left: most, chown: os.Geteuid() == 0}
	for in := tar.NewReader(r); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			// What follows the archive's end tells whether the stream was whole.
			if _, err := io.Copy(io.Discard, io.LimitReader(r, maxName<<8)); err != nil {
				return err
			}
			return u.finish()
		}
		if err != nil {
			return err
		}
		if err := u.entry(header, in); err != nil {
			return fmt.Errorf("entry %.200q: %w", header.Name, err)
		}
	}
}

// unpacker is one archive on its way into a directory.
type unpacker struct {
	into  *os.Root
	parts []string
	left  Limits
	chown bool
	// dirs get their modes at last: until then we must be able to write there.
	dirs []*tar.Header
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if u.left.Entries--; u.left.Entries < 0 {
		return fmt.Errorf("too many entries: %w", ErrTooLarge)
	}
	if err := u.judge(h); err != nil {
		return err
	}
	parent, last, err := u.parent(h.Name)
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }() // what was written is closed already
	switch h.Typeflag {
	case tar.TypeDir:
		u.dirs = append(u.dirs, h)
		return plainDir(parent, last)
	case tar.TypeReg:
		return u.file(parent, last, h, content)
	default: // a link: judge has let nothing else through
		if err := parent.Symlink(h.Linkname, last); err != nil {
			return err
		}
		return u.own(parent, last, h)
	}
}

// judge cleans the name of an entry, and refuses what no disk holds.
func (u *unpacker) judge(h *tar.Header) error {
	h.Name = strings.TrimSuffix(h.Name, "/")
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeReg:
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxName || strings.ContainsRune(h.Linkname, 0) {
			return fmt.Errorf("a link to %.200q: %w", h.Linkname, ErrHostile)
		}
	default:
		return fmt.Errorf("an entry of type %q: %w", h.Typeflag, ErrHostile)
	}
	switch {
	case len(h.Name) > maxName || strings.Count(h.Name, "/") > maxDepth,
		strings.ContainsRune(h.Name, 0), !filepath.IsLocal(h.Name), path.Clean(h.Name) != h.Name:
		return fmt.Errorf("a name that leads elsewhere: %w", ErrHostile)
	}
	inside := slices.ContainsFunc(u.parts, func(part string) bool {
		return h.Name == part && h.Typeflag == tar.TypeDir || strings.HasPrefix(h.Name, part+"/")
	})
	if !inside {
		return fmt.Errorf("it is in none of the disk's directories: %w", ErrHostile)
	}
	return nil
}

// parent opens the directory that holds an entry, making what is missing.
func (u *unpacker) parent(name string) (*os.Root, string, error) {
	dir, last := path.Split(name)
	at, err := u.into.OpenRoot(".")
	if err != nil {
		return nil, "", err
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		err := plainDir(at, part)
		var next *os.Root
		if err == nil {
			next, err = descend(at, part)
		}
		_ = at.Close() // nothing was written through it
		if err != nil {
			return nil, "", err
		}
		at = next
	}
	return at, last, nil
}

// plainDir makes a directory unless there is one.
func plainDir(parent *os.Root, name string) error {
	err := parent.Mkdir(name, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := parent.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is both a directory and none: %w", name, ErrHostile)
	}
	return nil
}

func (u *unpacker) file(parent *os.Root, last string, h *tar.Header, content io.Reader) error {
	if u.left.Bytes -= h.Size; h.Size < 0 || u.left.Bytes < 0 {
		return ErrTooLarge
	}
	f, err := parent.OpenFile(last, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("it is there twice: %w", ErrHostile)
	}
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, content, h.Size)
	if err = errors.Join(err, f.Chmod(h.FileInfo().Mode().Perm()), f.Close()); err != nil {
		return err
	}
	return errors.Join(u.own(parent, last, h), parent.Chtimes(last, h.ModTime, h.ModTime))
}

// own gives an entry to whom it belonged, where we may.
func (u *unpacker) own(parent *os.Root, last string, h *tar.Header) error {
	if !u.chown || h.Uid < 0 || h.Gid < 0 {
		return nil
	}
	return parent.Lchown(last, h.Uid, h.Gid)
}

// finish gives the directories their modes, the deepest first.
func (u *unpacker) finish() error {
	slices.Reverse(u.dirs)
	for _, h := range u.dirs {
		parent, last, err := u.parent(h.Name)
		if err != nil {
			return err
		}
		mode := h.FileInfo().Mode()
		err = errors.Join(u.own(parent, last, h), parent.Chmod(last, mode.Perm()|mode&fs.ModeSticky))
		if err = errors.Join(err, parent.Close()); err != nil {
			return err
		}
	}
	return nil
}
