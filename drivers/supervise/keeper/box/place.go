//go:build linux

package box

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// source is something of the machine, taken and not yet shown.
type source struct {
	bind Bind
	// link is where a link leads; such a source has no tree.
	link  string
	tree  int
	isDir bool
}

// sources takes all that shall be shown.
func (b *builder) sources() ([]source, error) {
	var out []source
	for _, bind := range b.spec.Binds {
		s, err := take(bind)
		if bind.Optional && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("show %s in the sandbox: %w", bind.From, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func take(bind Bind) (source, error) {
	s := source{bind: bind}
	flags := unix.O_PATH | unix.O_CLOEXEC
	if !bind.Follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Open(bind.From, flags, 0)
	if err != nil {
		return s, err
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return s, err
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", buf)
		s.link = string(buf[:max(0, n)])
		return s, err
	}
	s.isDir = stat.Mode&unix.S_IFMT == unix.S_IFDIR
	how := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if !bind.Alone {
		how |= unix.AT_RECURSIVE
	}
	if s.tree, err = unix.OpenTree(fd, "", how); err != nil {
		return s, err
	}
	attr := uint64(safe)
	if !bind.Write {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	return s, attributes(s.tree, attr, propagation(bind.Propagation))
}

func propagation(name string) uint64 {
	switch name {
	case "host-to-task":
		return unix.MS_SLAVE
	case "bidirectional":
		return 0 // as the machine's own
	}
	return unix.MS_PRIVATE
}

// show puts the sources in their places.
func (b *builder) show(all []source) error {
	for _, s := range all {
		if s.link != "" {
			if err := b.link(s.link, s.bind.To); err != nil {
				return err
			}
			continue
		}
		if err := b.attach(s.tree, s.bind.To, s.isDir); err != nil {
			return err
		}
		_ = unix.Close(s.tree)
	}
	return nil
}

// attach mounts a tree at a path of the box, where it makes a folder or a file
// if there is nothing.
func (b *builder) attach(tree int, to string, isDir bool) error {
	target, err := b.make(to, isDir)
	if err != nil {
		return fmt.Errorf("make a place for %s in the sandbox: %w", to, err)
	}
	defer func() { _ = unix.Close(target) }()
	if err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s in the sandbox: %w", to, err)
	}
	return nil
}

// find opens a path of the box as a place; links stay inside.
func (b *builder) find(name string, flags uint64) (int, error) {
	return unix.Openat2(b.root, strings.TrimPrefix(path.Clean("/"+name), "/")+rootDot(name), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// rootDot names the root itself.
func rootDot(name string) string {
	if path.Clean("/"+name) == "/" {
		return "."
	}
	return ""
}

// make opens a path of the box, and makes what is missing of it.
func (b *builder) make(name string, isDir bool) (int, error) {
	fd, err := b.find(name, 0)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	dir, last := path.Split(path.Clean("/" + name))
	parent, err := b.make(dir, true)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(parent) }()
	if isDir {
		err = unix.Mkdirat(parent, last, 0o755)
	} else {
		err = unix.Mknodat(parent, last, unix.S_IFREG|0o644, 0)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return b.find(name, unix.O_NOFOLLOW)
}

// link makes a symbolic link in the box unless there is something.
func (b *builder) link(text, at string) error {
	dir, last := path.Split(path.Clean("/" + at))
	parent, err := b.make(dir, true)
	if err != nil {
		return fmt.Errorf("make a place for %s in the sandbox: %w", at, err)
	}
	defer func() { _ = unix.Close(parent) }()
	if err := unix.Symlinkat(text, parent, last); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("link %s in the sandbox: %w", at, err)
	}
	return nil
}
