//go:build linux

package rawexec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/supervise"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// abandonTimeout bounds how long a task is being destroyed whose start failed.
const abandonTimeout = 10 * time.Second

// Start implements drivers.Runner. A task that an earlier plugin process
// started with the same id is taken over.
func (d *Driver) Start(ctx context.Context, t *drivers.TaskConfig) (*drivers.Started, error) {
	d.mu.Lock()
	plugin := d.config
	_, known := d.tasks[t.ID]
	d.mu.Unlock()
	if !plugin.Enabled {
		return nil, errors.New(`the raw_exec driver is disabled on this node: set enabled = true in the config block of plugin "raw_exec" of the agent's configuration`)
	}
	if known {
		return nil, fmt.Errorf("start task: %s is started already", t.ID)
	}
	spec, err := d.spec(t, &plugin)
	if err != nil {
		return nil, err
	}
	dir := supervisionDir(t)
	status, err := d.launcher.Start(ctx, dir, spec)
	var notFound *supervise.NotFoundError
	if errors.As(err, &notFound) {
		return nil, fmt.Errorf("%s: check the task's command", notFound.Text)
	}
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	s := state{Dir: dir, PID: status.Task.PID, StartedAt: status.StartedAt.UnixNano(), Cgroup: status.Cgroup}
	encoded, err := drivers.EncodeState(&s)
	d.keep(&task{config: t, state: s, supervise: supervise.At(dir)})
	if err := errors.Join(err, ctx.Err()); err != nil {
		// Whoever gave it up may have asked to destroy it before it was known.
		return nil, d.abandon(ctx, t.ID, err)
	}
	return &drivers.Started{Handle: &drivers.Handle{Version: stateVersion, Config: t, State: drivers.TaskRunning, DriverState: encoded}}, nil
}

// abandon destroys a task whose start failed in the end, and returns why.
func (d *Driver) abandon(ctx context.Context, taskID string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	if err := d.Destroy(ctx, taskID, true); err != nil && !errors.Is(err, drivers.ErrTaskNotFound) {
		why = errors.Join(why, err)
	}
	return fmt.Errorf("start task: %w", why)
}

// spec puts a task into the supervisor's terms.
func (d *Driver) spec(t *drivers.TaskConfig, plugin *pluginConfig) (*keeper.Spec, error) {
	if t.AllocDir == "" || t.Name == "" {
		return nil, errors.New("start task: it has no name or directory")
	}
	config, err := decodeTask(t)
	if err != nil {
		return nil, err
	}
	dir := config.workDir(t)
	path, err := lookup(config.Command, t, dir)
	if err != nil {
		return nil, err
	}
	user, err := resolveUser(t.User, plugin)
	if err != nil {
		return nil, err
	}
	spec := &keeper.Spec{
		Task: t.Name, Path: path, Args: append([]string{config.Command}, config.Args...), Dir: dir,
		Env: environment(t, append(plugin.DeniedEnvvars, config.DeniedEnvvars...)), User: user,
		OOMScoreAdj: config.OOMScoreAdj,
	}
	if t.Network != nil {
		spec.Network = t.Network.Path
	}
	if err := placeInCgroups(spec, t, config); err != nil {
		return nil, err
	}
	return spec, placeLogs(spec, t)
}

// placeLogs says where the task's output goes: by our own rotation where the
// client asks for it, else into the client's FIFOs.
func placeLogs(spec *keeper.Spec, t *drivers.TaskConfig) error {
	if t.Logs == nil {
		spec.Logs = keeper.Logs{Stdout: t.StdoutPath, Stderr: t.StderrPath}
		return nil
	}
	if t.Logs.Disabled {
		return nil
	}
	if err := os.MkdirAll(t.LogDir(), 0o755); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	spec.Logs = keeper.Logs{Dir: t.LogDir(), MaxFiles: t.Logs.MaxFiles, MaxBytes: int64(t.Logs.MaxFileSizeMB) << 20}
	return nil
}

// lookup finds a program: as a path, in the task's own directories, or along
// the task's PATH.
func lookup(command string, t *drivers.TaskConfig, dir string) (string, error) {
	if strings.ContainsRune(command, '/') {
		path := command
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return path, executable(command, path)
	}
	places := append([]string{filepath.Join(t.TaskDir(), "local"), t.TaskDir()}, filepath.SplitList(t.Env["PATH"])...)
	if t.Env["PATH"] == "" {
		places = append(places, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
	}
	for _, place := range places {
		path := filepath.Join(place, command)
		if filepath.IsAbs(path) && executable(command, path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("command %q is not found in the task's directory nor along its PATH: check the spelling, or give an absolute path", command)
}

// executable says why the file at path can't be run.
func executable(command, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("command %q does not exist: check the path", command)
	case err != nil:
		return fmt.Errorf("command %q: %w", command, err)
	case info.IsDir():
		return fmt.Errorf("command %q is a directory", command)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("command %q is not executable: chmod +x it", command)
	}
	return nil
}
