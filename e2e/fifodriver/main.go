//go:build linux

// Command fifodriver is a driver as third parties build them: it writes what
// its tasks print into the FIFOs that the agent names, and leaves log files to
// the agent. Its tasks go on while it and the agent are away.
//
// It is for the end-to-end tests only. Begin reading at main.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin"
	"github.com/steppe-run/steppe/drivers/rawexec"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

const name = "fifo"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "supervisor" {
		os.Exit(keeper.Main(os.Args[2:]))
	}
	driver := piped{rawexec.New(plugin.Logger(os.Stderr, name))}
	if err := plugin.Serve(context.Background(), driver); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// piped is raw_exec with another name and no log files of its own.
type piped struct{ drivers.Driver }

// Info implements drivers.Describer.
func (p piped) Info(ctx context.Context) (*drivers.Info, error) {
	info, err := p.Driver.Info(ctx)
	if err == nil {
		info.Name = name
	}
	return info, err
}

// Capabilities implements drivers.Describer.
func (p piped) Capabilities(ctx context.Context) (*drivers.Capabilities, error) {
	caps, err := p.Driver.Capabilities(ctx)
	if err == nil {
		caps.DisableLogCollection = false
	}
	return caps, err
}

// Run implements drivers.Service.
func (p piped) Run(ctx context.Context) error { return p.Driver.(drivers.Service).Run(ctx) }
