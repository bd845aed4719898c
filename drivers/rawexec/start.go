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

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/process"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// Start implements drivers.Runner.
func (d *Driver) Start(ctx context.Context, t *drivers.TaskConfig) (*drivers.Started, error) {
	d.mu.Lock()
	plugin := d.config
	d.mu.Unlock()
	if !plugin.Enabled {
		return nil, errors.New(`the raw_exec driver is disabled on this node: set enabled = true in the config block of plugin "raw_exec" of the agent's configuration`)
	}
	spec, err := d.spec(t, &plugin)
	if err != nil {
		return nil, err
	}
	return d.Begin(ctx, t, spec)
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
		Env: process.Environment(t, append(plugin.DeniedEnvvars, config.DeniedEnvvars...)), User: user,
		OOMScoreAdj: config.OOMScoreAdj,
	}
	if t.Network != nil {
		spec.Network = t.Network.Path
	}
	if err := placeInCgroups(spec, t, config); err != nil {
		return nil, err
	}
	return spec, process.PlaceLogs(spec, t)
}

// program finds what a command beside a task names.
func program(t *drivers.TaskConfig, command string) (string, error) {
	config, err := decodeTask(t)
	if err != nil {
		return "", err
	}
	return lookup(command, t, config.workDir(t))
}

// resolveUser finds the user a task runs as; nil is the agent's own.
func resolveUser(name string, plugin *pluginConfig) (*keeper.User, error) {
	self := process.Self()
	if name == "" {
		return nil, plugin.denied.Check(self)
	}
	found, err := process.LookupUser(name)
	if err != nil {
		return nil, err
	}
	if found.UID == self.UID {
		return nil, plugin.denied.Check(self)
	}
	if self.UID != 0 {
		return nil, fmt.Errorf("run as user %q: the agent isn't root and can only run tasks as itself", name)
	}
	return found, plugin.denied.Check(found)
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
