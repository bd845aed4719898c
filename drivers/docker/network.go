//go:build linux

package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	waiting "github.com/steppe-run/steppe/drivers/docker/pause"
	"github.com/steppe-run/steppe/internal/logx"
)

const (
	// labelNetwork marks the container that holds an allocation's network.
	labelNetwork = "run.steppe.network"
	// keySandbox names that container in the description of the network.
	keySandbox = "docker_sandbox_container_id"
)

// holderName is what the container that holds an allocation's network is called.
func holderName(allocID string) string { return "nomad_init_" + allocID }

// CreateNetwork implements drivers.Networker: a container that only waits holds
// the namespace, and the allocation's other containers join it. It has nothing
// but a loopback; to connect it is its host's business.
func (d *Driver) CreateNetwork(ctx context.Context, allocID, hostname string) (*drivers.NetworkIsolation, bool, error) {
	engine, plugin, err := d.api()
	if err != nil {
		return nil, false, err
	}
	name := holderName(allocID)
	c, err := inspect(ctx, engine, name)
	if err == nil && c.Config.Labels[labelNetwork] != allocID {
		return nil, false, fmt.Errorf("create network: the name %s is taken by a container that isn't ours", name)
	}
	if err == nil && c.State.Running {
		return isolation(c, hostname), false, nil
	}
	if err == nil {
		// The engine or the machine was restarted: what it held is gone.
		err = remove(ctx, engine, c.ID)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, false, fmt.Errorf("create network: %w", err)
	}
	image, err := d.holderImage(ctx, engine, plugin)
	if err != nil {
		return nil, false, fmt.Errorf("create network: %w", err)
	}
	id, err := createOnce(ctx, engine, holder(allocID, hostname, image, plugin))
	if err != nil {
		return nil, false, classify("create network", err)
	}
	if err := d.run(ctx, engine, id); err != nil {
		return nil, false, err
	}
	if c, err = inspect(ctx, engine, id); err == nil && isolation(c, hostname).Path == "" {
		err = errors.New("the engine doesn't tell where the network is")
	}
	if err != nil {
		return nil, false, fmt.Errorf("create network: %w", errors.Join(err, remove(context.WithoutCancel(ctx), engine, id)))
	}
	return isolation(c, hostname), true, nil
}

func holder(allocID, hostname, image string, plugin *pluginConfig) client.ContainerCreateOptions {
	processes := int64(8)
	return client.ContainerCreateOptions{
		Name: holderName(allocID),
		Config: &container.Config{
			Image: image, Hostname: hostname, Labels: map[string]string{labelAlloc: allocID, labelNetwork: allocID},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", ReadonlyRootfs: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges=true"},
			IpcMode: "private", LogConfig: container.LogConfig{Type: "none"}, OomScoreAdj: plugin.OOMScoreAdj,
			Resources: container.Resources{PidsLimit: &processes, Memory: 16 << 20, MemorySwap: 16 << 20},
		},
	}
}

func isolation(c *container.InspectResponse, hostname string) *drivers.NetworkIsolation {
	out := &drivers.NetworkIsolation{Mode: drivers.NetworkGroup, Labels: map[string]string{keySandbox: c.ID}}
	if c.NetworkSettings != nil {
		out.Path = c.NetworkSettings.SandboxKey
	}
	if hostname != "" {
		out.Hosts = &drivers.HostsConfig{Hostname: hostname}
	}
	return out
}

// holderImage is the node's infra_image, or our own, which the engine is given
// if it doesn't have it.
func (d *Driver) holderImage(ctx context.Context, engine *client.Client, plugin *pluginConfig) (string, error) {
	if plugin.InfraImage != "" {
		w := &wish{image: plugin.InfraImage, timeout: plugin.infraImagePullTimeout, tell: func(message string) {
			d.logger.Info("the image that holds networks is fetched", "image", plugin.InfraImage, "told", message)
		}}
		// It stays in use: it is to be there also when no task runs.
		_, err := d.obtain(ctx, engine, plugin, w)
		return plugin.InfraImage, err
	}
	limited, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	_, err := engine.ImageInspect(limited, waiting.Name)
	if !errdefs.IsNotFound(err) {
		return waiting.Name, err
	}
	archive, err := waiting.Archive(runtime.GOARCH)
	if err != nil {
		return "", err
	}
	answer, err := engine.ImageLoad(limited, bytes.NewReader(archive), client.ImageLoadWithQuiet(true))
	if err != nil {
		return "", fmt.Errorf("load %s: %w", waiting.Name, err)
	}
	_, err = io.Copy(io.Discard, answer)
	return waiting.Name, errors.Join(err, answer.Close())
}

// DestroyNetwork implements drivers.Networker.
func (d *Driver) DestroyNetwork(ctx context.Context, allocID string, _ *drivers.NetworkIsolation) error {
	engine, _, err := d.api()
	if err != nil {
		return err
	}
	c, err := inspect(ctx, engine, holderName(allocID))
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("destroy network: %w", err)
	case c.Config.Labels[labelNetwork] != allocID:
		d.logger.Warn("a container that isn't ours has the name of one that held a network", "container", c.ID, logx.KeyAlloc, allocID)
		return nil
	}
	return remove(ctx, engine, c.ID)
}

// joined is the container whose network the task shares; empty if it has one of
// its own, or the node's.
func joined(t *drivers.TaskConfig) (string, error) {
	if t.Network == nil || t.Network.Mode == drivers.NetworkHost || t.Network.Path == "" && len(t.Network.Labels) == 0 {
		return "", nil
	}
	id := t.Network.Labels[keySandbox]
	if id == "" {
		return "", errors.New("the group's network was made by another driver, and docker's tasks can't join it: put them into a group of their own")
	}
	return id, nil
}

// networkRuns fails for good when the container that held the network has ended:
// the network is gone with it, and another allocation gets another.
func networkRuns(ctx context.Context, engine *client.Client, t *drivers.TaskConfig) error {
	id, err := joined(t)
	if err != nil || id == "" {
		return err
	}
	c, err := inspect(ctx, engine, id)
	switch {
	case errdefs.IsNotFound(err) || err == nil && !c.State.Running:
		return errors.New("the allocation's network is gone: the container that held it has ended, as when the engine was restarted")
	case err != nil:
		return drivers.Recoverable(fmt.Errorf("look for the allocation's network: %w", err))
	}
	return nil
}

// join puts a container into the group's network. What the engine would write
// into such a container's files about names is then our work.
func join(out *client.ContainerCreateOptions, t *drivers.TaskConfig, c *taskConfig, id string) error {
	if c.NetworkMode != "" {
		return errors.New("network_mode can't be used in a group with a network of its own: remove one of them")
	}
	if len(c.NetworkAliases) > 0 || c.IPv4Address != "" || c.IPv6Address != "" || c.MacAddress != "" {
		return errors.New("network_aliases, ipv4_address, ipv6_address and mac_address can't be used in a group with a network of its own")
	}
	out.HostConfig.NetworkMode = container.NetworkMode("container:" + id)
	// The network's container has them.
	out.Config.Hostname = ""
	servers, search, options := nameservers(t, c)
	if len(servers)+len(search)+len(options) > 0 {
		if err := nameFile(out, t, "resolv.conf", resolvConf(servers, search, options)); err != nil {
			return err
		}
	}
	out.HostConfig.DNS, out.HostConfig.DNSSearch, out.HostConfig.DNSOptions, out.HostConfig.ExtraHosts = nil, nil, nil, nil
	hosts, err := hostsFile(t, c)
	if err != nil || hosts == "" {
		return err
	}
	return nameFile(out, t, "hosts", hosts)
}

func resolvConf(servers, search, options []string) string {
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	for word, list := range map[string][]string{"search": search, "options": options} {
		if len(list) > 0 {
			fmt.Fprintf(&b, "%s %s\n", word, strings.Join(list, " "))
		}
	}
	return b.String()
}

// hostsFile is empty where the engine's own says all there is to say.
func hostsFile(t *drivers.TaskConfig, c *taskConfig) (string, error) {
	h := t.Network.Hosts
	if (h == nil || h.Address == "") && len(c.ExtraHosts) == 0 {
		return "", nil
	}
	out := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
	if h != nil && h.Address != "" && h.Hostname != "" {
		out += h.Address + "\t" + h.Hostname + "\n"
	}
	for _, entry := range c.ExtraHosts {
		name, addr, _ := strings.Cut(entry, ":")
		if addr == "host-gateway" {
			return "", fmt.Errorf("extra_hosts: %q can't be used in a group with a network of its own", entry)
		}
		out += strings.Trim(addr, "[]") + "\t" + name + "\n"
	}
	return out, nil
}

// nameFile writes a file where no task sees it, and shows it to the container.
func nameFile(out *client.ContainerCreateOptions, t *drivers.TaskConfig, name, text string) error {
	dir := filepath.Join(t.TaskDir(), "private")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	path := filepath.Join(dir, "docker-"+name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	out.HostConfig.Binds = append(out.HostConfig.Binds, path+":/etc/"+name)
	return nil
}
