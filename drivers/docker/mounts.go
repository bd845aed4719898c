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
