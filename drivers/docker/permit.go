//go:build linux

package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
)

// maxProfile bounds a seccomp profile, and maxNodes how many device nodes a
// directory that a task asks for may hold.
const (
	maxProfile = 1 << 20
	maxNodes   = 1000
)

// permit refuses what only a trusting node gives.
func permit(t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) error {
	var errs []error
	if c.Privileged && !plugin.AllowPrivileged {
		errs = append(errs, errors.New(`privileged is refused on this node: allow it with allow_privileged = true in plugin "docker"`))
	}
	errs = append(errs,
		mode("pid_mode", c.PidMode, nil, t, plugin), mode("ipc_mode", c.IpcMode, []string{"none", "private", "shareable"}, t, plugin),
		mode("uts_mode", c.UTSMode, nil, t, plugin), mode("userns_mode", c.UsernsMode, nil, t, plugin),
	)
	if c.CgroupNS != "" && c.CgroupNS != "host" && c.CgroupNS != "private" {
		errs = append(errs, fmt.Errorf("cgroupns %q is unknown: use host or private", c.CgroupNS))
	}
	if name, ok := strings.CutPrefix(c.NetworkMode, "container:"); ok && !ownContainer(name, t) && !plugin.AllowPrivileged {
		errs = append(errs, errors.New(`network_mode: only containers of the same allocation (TASK-${NOMAD_ALLOC_ID}) can be joined, unless allow_privileged = true in plugin "docker"`))
	}
	if c.Runtime != "" && !slices.Contains(plugin.AllowRuntimes, c.Runtime) {
		errs = append(errs, fmt.Errorf("runtime %q is refused on this node: allowed are %s", c.Runtime, strings.Join(plugin.AllowRuntimes, ", ")))
	}
	if c.Isolation != "" {
		errs = append(errs, errors.New("isolation is for Windows nodes only"))
	}
	return errors.Join(errs...)
}

// ownContainer reports whether a container is of the task's own allocation, as
// its name tells.
func ownContainer(name string, t *drivers.TaskConfig) bool {
	return t.AllocID != "" && strings.HasSuffix(name, "-"+t.AllocID)
}

// mode checks which namespace a task shares; harmless are values that share
// nothing with anybody.
func mode(kind, value string, harmless []string, t *drivers.TaskConfig, plugin *pluginConfig) error {
	name, joins := strings.CutPrefix(value, "container:")
	joins = joins && (kind == "pid_mode" || kind == "ipc_mode")
	switch {
	case value == "" || slices.Contains(harmless, value) || joins && ownContainer(name, t):
		return nil
	case value != "host" && !joins:
		return fmt.Errorf("%s %q is unknown: use %s", kind, value, strings.Join(append([]string{"host"}, harmless...), ", "))
	case plugin.allows(kind, value):
		return nil
	}
	return fmt.Errorf(`%s = %q is refused on this node: allow it with allowed_modes or allow_privileged in plugin "docker"`, kind, value)
}

// allows reports whether the node lets a task share a namespace of the host, or
// of a container that isn't its allocation's.
func (c *pluginConfig) allows(kind, mode string) bool {
	if c.AllowPrivileged {
		return true
	}
	if c.AllowedModes == nil {
		return false
	}
	lists := map[string][]string{"pid_mode": c.AllowedModes.PID, "ipc_mode": c.AllowedModes.IPC, "userns_mode": c.AllowedModes.Userns, "uts_mode": c.AllowedModes.UTS}
	return matches(lists[kind], mode)
}

// matches reports whether a text is like one of some patterns, in which a star
// stands for anything.
func matches(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		first, rest, star := strings.Cut(pattern, "*")
		if !star {
			return text == pattern
		}
		parts := strings.Split(rest, "*")
		last := parts[len(parts)-1]
		left, ok := strings.CutPrefix(text, first)
		if !ok {
			return false
		}
		for _, part := range parts[:len(parts)-1] {
			i := strings.Index(left, part)
			if i < 0 {
				return false
			}
			left = left[i+len(part):]
		}
		return strings.HasSuffix(left, last)
	})
}

// security gives a task the options that it asks for as far as they tighten;
// what loosens must be the node's will.
func security(host *container.HostConfig, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) error {
	told := false
	for _, option := range c.SecurityOpt {
		key, value, _ := strings.Cut(option, "=")
		if k, v, ok := strings.Cut(option, ":"); ok && !strings.Contains(option, "=") {
			key, value = k, v
		}
		loose := loosens(key, value)
		if loose && !plugin.AllowPrivileged && !matches(plugin.AllowSecurityOpt, option) {
			return fmt.Errorf(`security_opt %q is refused on this node: allow it with allow_security_opt or allow_privileged in plugin "docker"`, shortened(option))
		}
		switch {
		case key == "no-new-privileges":
			told = true
			option = "no-new-privileges=" + fmt.Sprint(!loose)
		case key == "systempaths" && value == "unconfined":
			host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
			continue
		case key == "seccomp" && value != "unconfined" && value != "builtin":
			profile, err := seccompProfile(value, t, plugin)
			if err != nil {
				return fmt.Errorf("security_opt: %w", err)
			}
			option = "seccomp=" + profile
		}
		host.SecurityOpt = append(host.SecurityOpt, option)
	}
	if plugin.NoNewPrivileges && !told && !c.Privileged {
		host.SecurityOpt = append(host.SecurityOpt, "no-new-privileges=true")
	}
	return nil
}

func shortened(text string) string {
	if len(text) > 80 {
		return text[:80] + "…"
	}
	return text
}

// loosens reports whether a security option could give a task more than it has
// without. Those that aren't known here could.
func loosens(key, value string) bool {
	switch key {
	case "no-new-privileges":
		return value != "" && value != "true"
	case "apparmor":
		return value == "unconfined"
	case "label":
		return !strings.HasPrefix(value, "level:")
	case "seccomp":
		return value != "builtin"
	}
	return true
}

// seccompProfile is the text of a profile: given as such, in a file of the
// task's directory, or, where the node trusts with paths, of the node.
func seccompProfile(value string, t *drivers.TaskConfig, plugin *pluginConfig) (string, error) {
	text := []byte(value)
	if !strings.HasPrefix(strings.TrimSpace(value), "{") {
		f, err := openProfile(value, t, plugin)
		if err != nil {
			return "", fmt.Errorf("seccomp profile %s: %w", shortened(value), err)
		}
		defer func() { _ = f.Close() }()
		if text, err = io.ReadAll(io.LimitReader(f, maxProfile+1)); err != nil {
			return "", fmt.Errorf("seccomp profile %s: %w", value, err)
		}
	}
	if len(text) > maxProfile || !json.Valid(text) {
		return "", errors.New("seccomp profile: it isn't JSON of at most 1 MiB")
	}
	return string(text), nil
}

func openProfile(file string, t *drivers.TaskConfig, plugin *pluginConfig) (*os.File, error) {
	if filepath.IsAbs(file) {
		if !plugin.AllowPrivileged && !plugin.Volumes.Enabled {
			return nil, errors.New("only files of the task's directory can be named here")
		}
		return os.Open(file)
	}
	root, err := os.OpenRoot(t.TaskDir())
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.Open(filepath.Clean(file))
}

// deviceAllowed refuses device nodes by which a task could reach the node's
// disks or memory, unless the node gives them to tasks.
func deviceAllowed(name string, plugin *pluginConfig) error {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	if plugin.AllowPrivileged || matches(plugin.AllowDevices, real) || matches(plugin.AllowDevices, name) {
		return nil
	}
	count := 0
	return filepath.WalkDir(real, func(file string, entry fs.DirEntry, err error) error {
		if count++; count > maxNodes {
			return fmt.Errorf("%s holds too many devices", name)
		}
		if err != nil {
			return err
		}
		var s unix.Stat_t
		if err := unix.Stat(file, &s); err != nil || entry.IsDir() {
			return err
		}
		if dangerous(&s) && !matches(plugin.AllowDevices, file) {
			return fmt.Errorf(`device %s is refused on this node: allow it with allow_devices or allow_privileged in plugin "docker"`, file)
		}
		return nil
	})
}

// dangerous tells disks (block devices, and the character devices beside them
// that take their commands), the memory of the machine, and what makes more of
// them, by number: names can be made up.
func dangerous(s *unix.Stat_t) bool {
	major, minor := unix.Major(s.Rdev), unix.Minor(s.Rdev)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return true
	case unix.S_IFCHR:
		memory := major == 1 && (minor == 1 || minor == 2 || minor == 4 || minor == 11)
		control := major == 10 && (minor == 236 || minor == 237 || minor == 234)
		return memory || control || major == 21 || major == 162 || major == 202 || major == 203
	}
	return true
}
