//go:build linux

// Package exec is the driver exec: a task is a process of the node in a sandbox
// of its own: its own view of files, processes and system calls, without
// privileges, under limits.
//
// It says what the sandbox shall be; how one is made is in
// drivers/supervise/keeper/box. It must not know the agent or gRPC. Begin
// reading at Driver, then spec.go.
package exec

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/process"
)

// Name is what jobs call the driver.
const Name = "exec"

// Driver runs tasks as processes in sandboxes.
type Driver struct {
	*process.Core

	mu     sync.Mutex
	config pluginConfig
}

var (
	_ drivers.Driver  = (*Driver)(nil)
	_ drivers.Service = (*Driver)(nil)
)

// New returns the driver.
func New(logger *slog.Logger) drivers.Driver {
	// What a command names is found in the sandbox.
	inside := func(_ *drivers.TaskConfig, command string) (string, error) { return command, nil }
	return &Driver{Core: process.New(inside, logger)}
}

// Info implements drivers.Describer.
func (d *Driver) Info(context.Context) (*drivers.Info, error) { return process.Info(Name), nil }

// Capabilities implements drivers.Describer.
func (d *Driver) Capabilities(context.Context) (*drivers.Capabilities, error) {
	return &drivers.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: drivers.FSChroot, DisableLogCollection: true,
		NetworkModes: []drivers.NetworkMode{drivers.NetworkHost, drivers.NetworkGroup},
	}, nil
}

// Fingerprint implements drivers.Describer. Nothing about it ever changes.
func (d *Driver) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	fp := &drivers.Fingerprint{Health: drivers.Healthy, Description: "Healthy"}
	if err := usable(); err != nil {
		fp = &drivers.Fingerprint{Health: drivers.HealthUndetected, Description: err.Error()}
	}
	if err := emit(fp); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// usable says what is missing for sandboxes.
func usable() error {
	if os.Geteuid() != 0 {
		return errors.New("the agent must run as root to make sandboxes")
	}
	if process.Unified() == "" {
		return errors.New("the node has no version 2 cgroups: mount cgroup2 at /sys/fs/cgroup, or at /sys/fs/cgroup/unified beside version 1")
	}
	// The youngest thing that a sandbox needs: Linux 5.12 has it.
	if err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{}); errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return errors.New("the kernel makes no sandboxes: Linux 5.12 is needed, and an agent that may mount")
	}
	return nil
}

// Start implements drivers.Runner.
func (d *Driver) Start(ctx context.Context, t *drivers.TaskConfig) (*drivers.Started, error) {
	if err := usable(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	plugin := d.config
	d.mu.Unlock()
	spec, err := plugin.spec(t)
	if err != nil {
		return nil, err
	}
	return d.Begin(ctx, t, spec)
}
