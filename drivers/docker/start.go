//go:build linux

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
)

// The labels by which containers are found again.
const (
	labelAlloc = "com.hashicorp.nomad.alloc_id"
	labelTask  = "run.steppe.task_id"
	labelNode  = "run.steppe.node_id"
)

// Start implements drivers.Runner. A container that an earlier plugin process
// started for the same task is taken over.
func (d *Driver) Start(ctx context.Context, t *drivers.TaskConfig) (*drivers.Started, error) {
	engine, plugin, err := d.api()
	if err != nil {
		return nil, err
	}
	if _, _, err := d.find(t.ID); err == nil {
		return nil, fmt.Errorf("start task: %s is started already", t.ID)
	}
	config, err := decodeTask(t)
	if err != nil {
		return nil, err
	}
	clearStaging(t)
	config.sources.stage = d.sharesMounts(engine)
	defer config.sources.close()
	options, err := createOptions(t, config, plugin)
	if err == nil {
		err = networkRuns(ctx, engine, t)
	}
	if err != nil {
		return nil, err
	}
	image, err := d.ensureImage(ctx, t, config)
	if err != nil {
		return nil, err
	}
	id, err := d.create(ctx, engine, t, options, attempts(config, plugin))
	if err == nil {
		err = d.run(ctx, engine, id)
	}
	if err != nil {
		d.release(image)
		return nil, err
	}
	s := state{Container: id, Image: image, TTY: config.TTY, Logs: readable(options.HostConfig.LogConfig.Type)}
	started, err := d.started(ctx, engine, t, config, s)
	if err == nil {
		// Whoever gave it up may have asked to destroy it before it was known.
		err = ctx.Err()
	}
	if err != nil {
		return nil, d.abandon(ctx, engine, t.ID, &s, err)
	}
	return started, nil
}

// abandon ends a task whose container runs though its start failed, and returns why.
func (d *Driver) abandon(ctx context.Context, engine *client.Client, taskID string, s *state, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slow)
	defer cancel()
	err := d.Destroy(ctx, taskID, true)
	if errors.Is(err, drivers.ErrTaskNotFound) {
		d.release(s.Image)
		err = remove(ctx, engine, s.Container)
	}
	if err != nil {
		d.logger.Warn("the container of a start that failed can't be removed", "container", s.Container, logx.KeyError, err)
	}
	return fmt.Errorf("start task: %w", why)
}

func attempts(c *taskConfig, plugin *pluginConfig) int {
	if c.ContainerExists > 0 {
		return c.ContainerExists
	}
	return max(plugin.ContainerExists, 1)
}

// create makes the container, or finds the one that this very start has made
// before. One of the same name that belongs to something else of the same
// allocation and task is in the way and removed.
func (d *Driver) create(ctx context.Context, engine *client.Client, t *drivers.TaskConfig, options client.ContainerCreateOptions, tries int) (string, error) {
	for {
		made, err := createOnce(ctx, engine, options)
		if err == nil {
			return made, nil
		}
		if !errdefs.IsConflict(err) || tries == 0 {
			return "", classify("create container", err)
		}
		tries--
		old, inspectErr := inspect(ctx, engine, options.Name)
		switch {
		case errdefs.IsNotFound(inspectErr):
			continue
		case inspectErr != nil:
			return "", classify("inspect container", inspectErr)
		case old.Config.Labels[labelTask] == t.ID:
			return old.ID, nil
		case old.Config.Labels[labelTask] == "":
			return "", fmt.Errorf("create container: the name %s is taken by a container that isn't ours", options.Name)
		}
		d.logger.Warn("an old container of the task is removed", logx.KeyTask, t.ID, "container", old.ID)
		if err := remove(ctx, engine, old.ID); err != nil {
			return "", classify("remove old container", err)
		}
	}
}

// createOnce waits for the engine's answer also when nobody wants the container any
// more: the engine makes it all the same, and only its answer tells what to remove.
func createOnce(ctx context.Context, engine *client.Client, options client.ContainerCreateOptions) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), slow)
	defer cancel()
	made, err := askCreate(patient, engine, options)
	if err != nil || ctx.Err() == nil {
		return made, err
	}
	return "", errors.Join(ctx.Err(), remove(context.WithoutCancel(ctx), engine, made))
}

func askCreate(ctx context.Context, engine *client.Client, options client.ContainerCreateOptions) (string, error) {
	if mac := macOf(options); mac != "" && versions.LessThan(engine.ClientVersion(), "1.44") {
		return createOld(ctx, engine, options, mac)
	}
	r, err := engine.ContainerCreate(ctx, options)
	return r.ID, err
}

// macOf is the hardware address that a container is to have; empty: any.
func macOf(options client.ContainerCreateOptions) string {
	if options.NetworkingConfig == nil {
		return ""
	}
	for _, endpoint := range options.NetworkingConfig.EndpointsConfig {
		return endpoint.MacAddress.String()
	}
	return ""
}

// createOld makes a container by an engine that wants the hardware address where
// its client no longer writes it.
func createOld(ctx context.Context, engine *client.Client, options client.ContainerCreateOptions, mac string) (string, error) {
	body, err := json.Marshal(struct {
		*container.Config
		MacAddress       string
		HostConfig       *container.HostConfig
		NetworkingConfig *network.NetworkingConfig
	}{options.Config, mac, options.HostConfig, options.NetworkingConfig})
	if err != nil {
		return "", fmt.Errorf("encode container: %w", err)
	}
	dial := engine.Dialer()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	defer transport.CloseIdleConnections()
	address := "http://engine/v" + engine.ClientVersion() + "/containers/create?name=" + url.QueryEscape(options.Name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	var out struct {
		ID      string `json:"Id"`
		Message string `json:"message"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&out); err != nil {
		return "", fmt.Errorf("read the engine's answer: %w", err)
	}
	if answer.StatusCode != http.StatusCreated {
		kind := map[int]error{http.StatusNotFound: errdefs.ErrNotFound, http.StatusConflict: errdefs.ErrConflict, http.StatusBadRequest: errdefs.ErrInvalidArgument}[answer.StatusCode]
		if kind == nil {
			kind = errdefs.ErrUnknown
		}
		return "", fmt.Errorf("%s: %w", out.Message, kind)
	}
	return out.ID, nil
}

// run starts the container; one that can't be started is removed again.
func (d *Driver) run(ctx context.Context, engine *client.Client, id string) error {
	limited, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	_, err := engine.ContainerStart(limited, id, client.ContainerStartOptions{})
	if err == nil {
		return nil
	}
	cleanup, cancelCleanup := context.WithTimeout(context.WithoutCancel(ctx), slow)
	defer cancelCleanup()
	if removeErr := remove(cleanup, engine, id); removeErr != nil {
		d.logger.Warn("a container that didn't start can't be removed", "container", id, logx.KeyError, removeErr)
	}
	return classify("start container", err)
}

// classify says what went wrong, and whether trying again may help: the
// engine's word that the request itself is wrong is final.
func classify(verb string, err error) error {
	out := fmt.Errorf("%s: %w", verb, err)
	for _, final := range []string{
		"executable file not found", "no such file or directory", "permission denied", "not a directory", "Invalid container name", "invalid mount config",
	} {
		if strings.Contains(err.Error(), final) {
			return out
		}
	}
	if errdefs.IsInvalidArgument(err) || errdefs.IsNotFound(err) || errors.Is(err, context.Canceled) {
		return out
	}
	return drivers.Recoverable(out)
}

// started describes the running container.
func (d *Driver) started(ctx context.Context, engine *client.Client, t *drivers.TaskConfig, config *taskConfig, s state) (*drivers.Started, error) {
	c, err := inspect(ctx, engine, s.Container)
	if err != nil {
		return nil, classify("inspect container", err)
	}
	if id, err := joined(t); err == nil && id == "" {
		s.Network = address(c, t, config)
	}
	encoded, err := drivers.EncodeState(&s)
	if err != nil {
		return nil, err
	}
	d.keep(&task{config: t, state: s})
	return &drivers.Started{
		Handle:  &drivers.Handle{Version: stateVersion, Config: t, State: drivers.TaskRunning, DriverState: encoded},
		Network: s.Network,
	}, nil
}

// address is where the container is reached: a network of the user's own may
// be reachable directly, the default bridge is reached by published ports.
func address(c *container.InspectResponse, t *drivers.TaskConfig, config *taskConfig) *drivers.Network {
	out := &drivers.Network{PortMap: map[string]int{}}
	for _, ports := range config.PortMap {
		for label, port := range ports {
			out.PortMap[label] = port
		}
	}
	if t.Resources != nil {
		for _, p := range t.Resources.Ports {
			if p.To > 0 {
				out.PortMap[p.Label] = p.To
			}
		}
	}
	if c.NetworkSettings == nil {
		return out
	}
	for name, endpoint := range c.NetworkSettings.Networks {
		if endpoint == nil || name == "host" || name == "none" {
			continue
		}
		ip := endpoint.IPAddress
		if config.AdvertiseIPv6 {
			ip = endpoint.GlobalIPv6Address
		}
		if ip.IsValid() {
			out.Addr = ip.String()
			out.AutoAdvertise = name != "bridge" && name != "nat" || config.AdvertiseIPv6
			break
		}
	}
	return out
}
