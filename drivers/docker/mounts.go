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

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
)

// mounts shows the task its directories, the client's volumes, and what the
// task asks for as far as the node allows it.
func mounts(host *container.HostConfig, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) error {
	host.Binds = []string{
		labelled(filepath.Join(t.AllocDir, "alloc")+":/alloc", plugin.Volumes.SELinuxLabel),
		labelled(filepath.Join(t.TaskDir(), "local")+":/local", plugin.Volumes.SELinuxLabel),
		labelled(filepath.Join(t.TaskDir(), "secrets")+":/secrets", plugin.Volumes.SELinuxLabel),
	}
	for _, m := range t.Mounts {
		if err := clientMount(host, &m); err != nil {
			return err
		}
	}
	for _, v := range c.Volumes {
		bind, err := volumeBind(v, t, c, plugin)
		if err != nil {
			return err
		}
		host.Binds = append(host.Binds, bind)
	}
	for _, m := range append(c.Mounts, c.Mount...) {
		one, err := mountOf(m, t, c, plugin)
		if err != nil {
			return err
		}
		host.Mounts = append(host.Mounts, *one)
	}
	return nil
}

// labelled adds a word for SELinux to a bind, which may have other words.
func labelled(bind, label string) string {
	switch {
	case label == "":
		return bind
	case strings.Count(bind, ":") == 2:
		return bind + "," + label
	}
	return bind + ":" + label
}

// clientMount shows what the client wants the task to see.
func clientMount(host *container.HostConfig, m *drivers.Mount) error {
	one := mount.Mount{Type: mount.TypeBind, Source: m.HostPath, Target: m.TaskPath, ReadOnly: m.ReadOnly}
	if m.PropagationMode != "" {
		p, err := propagation(m.PropagationMode)
		if err != nil {
			return err
		}
		one.BindOptions = &mount.BindOptions{Propagation: p}
	}
	if m.SELinuxLabel == "" {
		host.Mounts = append(host.Mounts, one)
		return nil
	}
	// Only the short form has a word for labels.
	words := []string{"rw"}
	if m.ReadOnly {
		words[0] = "ro"
	}
	if one.BindOptions != nil {
		words = append(words, string(one.BindOptions.Propagation))
	}
	host.Binds = append(host.Binds, m.HostPath+":"+m.TaskPath+":"+strings.Join(append(words, m.SELinuxLabel), ","))
	return nil
}

// volumeWords are what may follow the target of a volume; those that change how
// mounts spread over the node are for nodes that trust their tasks with paths.
var volumeWords = map[string]bool{
	"ro": true, "rw": true, "z": true, "Z": true, "nocopy": true, "consistent": true, "cached": true, "delegated": true,
	"private": true, "rprivate": true, "slave": true, "rslave": true, "shared": false, "rshared": false,
}

// volumeBind reads `source:target[:mode]`. A relative source lies in the
// task's directory; anything else of the node needs volumes.enabled.
func volumeBind(text string, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) (string, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !filepath.IsAbs(parts[1]) {
		return "", fmt.Errorf("volume %q must be source:target or source:target:mode, with an absolute target", text)
	}
	if len(parts) == 3 {
		for _, word := range strings.Split(parts[2], ",") {
			if harmless, known := volumeWords[word]; !known || !harmless && !plugin.Volumes.Enabled {
				return "", fmt.Errorf("volume %q: the mode %q is unknown, or refused on this node", text, word)
			}
		}
	}
	if c.VolumeDriver != "" {
		if !plugin.Volumes.Enabled {
			return "", errors.New(`volume_driver is refused on this node: allow it with volumes { enabled = true } in plugin "docker"`)
		}
		return text, nil
	}
	source, err := c.sources.path(parts[0], t, plugin, true)
	if err != nil {
		return "", fmt.Errorf("volume %q: %w", text, err)
	}
	parts[0] = source
	return labelled(strings.Join(parts, ":"), plugin.Volumes.SELinuxLabel), nil
}

func mountOf(m mountConfig, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) (*mount.Mount, error) {
	if !filepath.IsAbs(m.Target) {
		return nil, fmt.Errorf("mount: target %q must be an absolute path", m.Target)
	}
	out := &mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
	var err error
	switch out.Type {
	case mount.TypeBind:
		err = bindMount(out, m, t, c, plugin)
	case mount.TypeTmpfs:
		if m.Source != "" {
			err = errors.New("a tmpfs has no source")
		}
		if m.TmpfsOptions != nil {
			out.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: m.TmpfsOptions.Size, Mode: os.FileMode(m.TmpfsOptions.Mode)}
		}
	case mount.TypeVolume:
		err = volumeMount(out, m, plugin)
	default:
		err = fmt.Errorf("type %q is unknown: use volume, bind or tmpfs", m.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", m.Target, err)
	}
	return out, nil
}

func bindMount(out *mount.Mount, m mountConfig, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) error {
	if m.Source == "" {
		return errors.New("a bind mount needs a source")
	}
	var err error
	if out.Source, err = c.sources.path(m.Source, t, plugin, false); err != nil {
		return err
	}
	if m.BindOptions == nil || m.BindOptions.Propagation == "" {
		return nil
	}
	p, err := propagation(m.BindOptions.Propagation)
	if err == nil && strings.HasSuffix(string(p), "shared") && !plugin.Volumes.Enabled {
		return fmt.Errorf(`propagation %s is refused on this node: allow it with volumes { enabled = true } in plugin "docker"`, p)
	}
	out.BindOptions = &mount.BindOptions{Propagation: p}
	return err
}

func volumeMount(out *mount.Mount, m mountConfig, plugin *pluginConfig) error {
	o := m.VolumeOptions
	if o == nil {
		return nil
	}
	out.VolumeOptions = &mount.VolumeOptions{NoCopy: o.NoCopy, Labels: merge(o.Labels)}
	if o.DriverConfig == nil {
		return nil
	}
	if !plugin.Volumes.Enabled {
		return errors.New(`volume drivers are refused on this node: allow them with volumes { enabled = true } in plugin "docker"`)
	}
	out.VolumeOptions.DriverConfig = &mount.Driver{Name: o.DriverConfig.Name, Options: merge(o.DriverConfig.Options)}
	return nil
}

// propagation reads the field's two vocabularies.
func propagation(text string) (mount.Propagation, error) {
	words := map[string]mount.Propagation{
		"private": mount.PropagationRPrivate, "host-to-task": mount.PropagationRSlave, "bidirectional": mount.PropagationRShared,
	}
	if p, ok := words[text]; ok {
		return p, nil
	}
	for _, p := range mount.Propagations {
		if string(p) == text {
			return p, nil
		}
	}
	return "", fmt.Errorf("propagation %q is unknown", text)
}

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
