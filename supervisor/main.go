//go:build linux

// Command supervisor owns one task's process, log files and exit status while
// the agent and the driver plugin are away. The build puts it inside the
// agent's binary; it isn't meant to be called by people.
//
// It must not know anything beyond drivers/supervise/keeper, which is where to
// begin reading.
package main

import (
	"os"

	"github.com/steppe-run/steppe/drivers/supervise/keeper"
)

func main() { os.Exit(keeper.Main(os.Args[1:])) }
