//go:build linux

package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/steppe-run/steppe/drivers"
)

// mounts shows the task its directories, the client's volumes, and what the
// task asks for as far as the node allows it.
func mounts(host *container.HostConfig, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) error {
	label := ""
	if plugin.Volumes.SELinuxLabel != "" {
		label = ":" + plugin.Volumes.SELinuxLabel
	}
	host.Binds = []string{
		filepath.Join(t.AllocDir, "alloc") + ":/alloc" + label,
		filepath.Join(t.TaskDir(), "local") + ":/local" + label,
		filepath.Join(t.TaskDir(), "secrets") + ":/secrets" + label,
	}
	for _, m := range t.Mounts {
		one := mount.Mount{Type: mount.TypeBind, Source: m.HostPath, Target: m.TaskPath, ReadOnly: m.ReadOnly}
		if m.PropagationMode != "" {
			p, err := propagation(m.PropagationMode)
			if err != nil {
				return err
			}
			one.BindOptions = &mount.BindOptions{Propagation: p}
		}
		host.Mounts = append(host.Mounts, one)
	}
	for _, v := range c.Volumes {
		bind, err := volumeBind(v, t, c, plugin)
		if err != nil {
			return err
		}
		host.Binds = append(host.Binds, bind)
	}
	for _, m := range append(c.Mounts, c.Mount...) {
		one, err := mountOf(m, t, plugin)
		if err != nil {
			return err
		}
		host.Mounts = append(host.Mounts, *one)
	}
	return nil
}

// volumeBind reads `source:target[:mode]`. A relative source lies in the
// task's directory; anything else of the node needs volumes.enabled.
func volumeBind(text string, t *drivers.TaskConfig, c *taskConfig, plugin *pluginConfig) (string, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !filepath.IsAbs(parts[1]) {
		return "", fmt.Errorf("volume %q must be source:target or source:target:mode, with an absolute target", text)
	}
	if c.VolumeDriver != "" {
		if !plugin.Volumes.Enabled {
			return "", errors.New(`volume_driver is refused on this node: allow it with volumes { enabled = true } in plugin "docker"`)
		}
		return text, nil
	}
	source, err := hostPath(parts[0], t, plugin)
	if err != nil {
		return "", fmt.Errorf("volume %q: %w", text, err)
	}
	parts[0] = source
	if plugin.Volumes.SELinuxLabel != "" && len(parts) == 2 {
		parts = append(parts, plugin.Volumes.SELinuxLabel)
	}
	return strings.Join(parts, ":"), nil
}

// hostPath resolves a path of the task's wishes on the node. Links are
// followed: one that leads out of the allocation's directory is out of it.
func hostPath(path string, t *drivers.TaskConfig, plugin *pluginConfig) (string, error) {
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(t.TaskDir(), path)
	}
	if plugin.Volumes.Enabled {
		return filepath.Clean(full), nil
	}
	base, err := filepath.EvalSymlinks(t.AllocDir)
	if err != nil {
		return "", fmt.Errorf("resolve allocation directory: %w", err)
	}
	if !filepath.IsAbs(path) {
		full = filepath.Join(base, t.Name, path)
	}
	real, err := resolveExisting(full)
	if err != nil {
		return "", err
	}
	if real != base && !strings.HasPrefix(real, base+string(filepath.Separator)) {
		return "", errors.New(`paths outside the allocation's directory are refused on this node: allow them with volumes { enabled = true } in plugin "docker"`)
	}
	return real, nil
}

// resolveExisting follows links in the part of a path that exists.
func resolveExisting(path string) (string, error) {
	path = filepath.Clean(path)
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	if !errors.Is(err, os.ErrNotExist) || path == filepath.Dir(path) {
		return "", fmt.Errorf("resolve %s: %w", path, err)
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("resolve %s: it is a link to nothing", path)
	}
	parent, err := resolveExisting(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}

func mountOf(m mountConfig, t *drivers.TaskConfig, plugin *pluginConfig) (*mount.Mount, error) {
	if !filepath.IsAbs(m.Target) {
		return nil, fmt.Errorf("mount: target %q must be an absolute path", m.Target)
	}
	out := &mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
	var err error
	switch out.Type {
	case mount.TypeBind:
		err = bindMount(out, m, t, plugin)
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

func bindMount(out *mount.Mount, m mountConfig, t *drivers.TaskConfig, plugin *pluginConfig) error {
	var err error
	if out.Source, err = hostPath(m.Source, t, plugin); err != nil {
		return err
	}
	if m.BindOptions == nil || m.BindOptions.Propagation == "" {
		return nil
	}
	p, err := propagation(m.BindOptions.Propagation)
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
