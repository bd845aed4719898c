//go:build linux

// Package rawexec is the driver raw_exec: a task is a process of the node,
// without isolation, under a supervisor that owns it while agent and plugin
// are away.
//
// It must not know the agent, gRPC or how supervision works inside. Begin
// reading at Driver and start.go.
package rawexec

import (
	"context"
	"log/slog"
	"sync"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/process"
)

// Name is what jobs call the driver.
const Name = "raw_exec"

// Driver runs tasks as plain processes.
type Driver struct {
	*process.Core

	mu     sync.Mutex
	config pluginConfig
}

var (
	_ drivers.Driver  = (*Driver)(nil)
	_ drivers.Service = (*Driver)(nil)
)

// New returns the driver. It is off until its configuration enables it.
func New(logger *slog.Logger) drivers.Driver {
	return &Driver{Core: process.New(program, logger)}
}

// Info implements drivers.Describer.
func (d *Driver) Info(context.Context) (*drivers.Info, error) { return process.Info(Name), nil }

// Capabilities implements drivers.Describer.
func (d *Driver) Capabilities(context.Context) (*drivers.Capabilities, error) {
	return &drivers.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: drivers.FSNone, NoMounts: true, DisableLogCollection: true,
		NetworkModes: []drivers.NetworkMode{drivers.NetworkHost, drivers.NetworkGroup},
	}, nil
}

// Fingerprint implements drivers.Describer. Nothing about it ever changes.
func (d *Driver) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	d.mu.Lock()
	enabled := d.config.Enabled
	d.mu.Unlock()
	fp := &drivers.Fingerprint{Health: drivers.Healthy, Description: "Healthy"}
	if !enabled {
		fp = &drivers.Fingerprint{Health: drivers.HealthUndetected, Description: `disabled: set enabled = true in the config block of plugin "raw_exec" of the agent's configuration`}
	}
	if err := emit(fp); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}
