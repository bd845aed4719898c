// Package plugin is the door to the drivers inside this binary, for the
// subprocesses that serve them.
//
// It must not know the agent. Begin reading at Serve.
package plugin

import (
	"context"

	"github.com/steppe-run/steppe/drivers/builtin"
)

// Serve serves the named driver to the agent that started this process.
func Serve(ctx context.Context, name string) error { return builtin.Serve(ctx, name) }

// Supervise stays with one task; it returns the process's exit code.
func Supervise(args []string) int { return builtin.Supervise(args) }
