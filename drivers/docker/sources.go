//go:build linux

package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
)

// staging is where sources are mounted until the container runs, below the
// task's directory. No task sees it.
const staging = "private/docker-mounts"

// sources are the paths of the node that a task's container is to be shown. On
// a node that doesn't trust tasks with paths they lie in the allocation's
// directory, where a task that runs already may put links in place of what is
// looked at. So each is opened once, checked as what it is, and mounted where
// no task sees it; the engine is told that place, which is taken away once the
// container has its mounts.
type sources struct {
	// stage: the engine sees what is mounted here.
	stage  bool
	staged []string
}

// close takes the staged mounts away.
func (s *sources) close() {
	for _, target := range s.staged {
		unstage(target)
	}
	s.staged = nil
}

// clearStaging takes away what a start left that was interrupted by death.
func clearStaging(t *drivers.TaskConfig) {
	dir := filepath.Join(t.TaskDir(), staging)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // there is none
	}
	for _, entry := range entries {
		unstage(filepath.Join(dir, entry.Name()))
	}
}

// unstage leaves the mount that a container has of it alone.
func unstage(target string) {
	_ = unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // it may not be mounted
	_ = os.Remove(target)                                          // empty, or still mounted and then left
}

// mount mounts an open file or directory where no task sees it.
func (s *sources) mount(number, base, task string, isDir bool) (string, error) {
	dir := filepath.Join(base, task, staging)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	target := filepath.Join(dir, strconv.Itoa(len(s.staged)))
	var err error
	if isDir {
		err = os.Mkdir(target, 0o700)
	} else {
		err = os.WriteFile(target, nil, 0o600)
	}
	if err != nil {
		return "", err
	}
	s.staged = append(s.staged, target)
	return target, unix.Mount(number, target, "", unix.MS_BIND|unix.MS_REC, "")
}

// path resolves a path of the task's wishes to what the engine is told. Make
// says that a directory that isn't there is made.
func (s *sources) path(name string, t *drivers.TaskConfig, plugin *pluginConfig, make bool) (string, error) {
	full := name
	if !filepath.IsAbs(name) {
		full = filepath.Join(t.TaskDir(), name)
	}
	if plugin.Volumes.Enabled {
		return filepath.Clean(full), nil
	}
	outside := errors.New(`paths outside the allocation's directory are refused on this node: allow them with volumes { enabled = true } in plugin "docker"`)
	base, err := filepath.EvalSymlinks(t.AllocDir)
	if err != nil {
		return "", fmt.Errorf("resolve allocation directory: %w", err)
	}
	below, err := filepath.Rel(t.AllocDir, full)
	if err != nil || !filepath.IsLocal(below) {
		return "", outside
	}
	f, err := openBelow(base, below, make)
	switch {
	case errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ELOOP):
		return "", outside
	case err != nil:
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	number := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	real, err := os.Readlink(number)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	if !offered(real, base, t.Name) {
		return "", fmt.Errorf("only the task's own directory and the allocation's shared one can be mounted, not %s", name)
	}
	if !s.stage {
		return real, nil
	}
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	if real, err = s.mount(number, base, t.Name, info.IsDir()); err != nil {
		return "", fmt.Errorf("hold %s for its container: %w", name, err)
	}
	return real, nil
}

// offered reports whether a path is the task's: other tasks of its allocation
// have secrets, too.
func offered(real, base, task string) bool {
	own := filepath.Join(base, task)
	within := func(dir string) bool { return real == dir || strings.HasPrefix(real, dir+string(filepath.Separator)) }
	return within(filepath.Join(base, "alloc")) || within(own) && real != own && !within(filepath.Join(own, "private"))
}

// openBelow opens what a path means without leaving a directory on the way.
func openBelow(base, name string, create bool) (*os.File, error) {
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	// Nothing is opened for reading: it may be a FIFO or a socket.
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(dir.Fd()), name, &how)
		if errors.Is(err, fs.ErrNotExist) && create {
			create = false
			if err := root.MkdirAll(name, 0o755); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}
