//go:build linux

// Package builtin lists the drivers inside this program, for the agent that
// launches them and for the subprocess that serves one.
//
// It must not know anything else about them. Begin reading at Drivers.
package builtin

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/docker"
	"github.com/steppe-run/steppe/drivers/exec"
	"github.com/steppe-run/steppe/drivers/mock"
	"github.com/steppe-run/steppe/drivers/plugin"
	"github.com/steppe-run/steppe/drivers/rawexec"
	"github.com/steppe-run/steppe/drivers/supervise"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

// Drivers returns the constructors of the drivers that an agent offers, by
// name, for plugin.Config.Builtins. The mock driver is among them only if
// wanted names it, as an agent's `plugin "mock_driver"` block does.
func Drivers(wanted ...string) map[string]func(*slog.Logger) drivers.Driver {
	out := all()
	if !slices.Contains(wanted, mock.Name) {
		delete(out, mock.Name)
	}
	return out
}

func all() map[string]func(*slog.Logger) drivers.Driver {
	return map[string]func(*slog.Logger) drivers.Driver{
		docker.Name:  docker.New,
		exec.Name:    exec.New,
		rawexec.Name: rawexec.New,
		mock.Name:    mock.New,
	}
}

// Serve is the whole of the command `plugin NAME`: it serves one built-in
// driver to the agent that started this process, until that agent is done.
func Serve(ctx context.Context, name string) error {
	known := all()
	newDriver, ok := known[name]
	if !ok {
		return fmt.Errorf("driver %q is not built in: there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return plugin.Serve(ctx, newDriver(plugin.Logger(os.Stderr, name)))
}

// NewLogCollector returns what reads the output of drivers that don't write log
// files themselves, working in dir.
func NewLogCollector(dir string, logger *slog.Logger) *supervise.Collector {
	return supervise.NewCollector(dir, supervise.Image(), logger)
}

// Supervise is the whole of the command `supervisor DIR`: it returns the exit
// code of the process.
func Supervise(args []string) int { return keeper.Main(args) }
