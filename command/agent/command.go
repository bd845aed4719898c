// Package agent reads an agent's configuration and wires server, node agent,
// drivers and HTTP API into one process.
//
// It must not know how any of them works. Begin reading at Command for the
// flags, at Config for the file, at run for the wiring.
package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v3"
)

// Process is what the agent gets from the program around it.
type Process struct {
	// Version and Revision are the program's own, Speaks is the version of the
	// public surface that clients may expect.
	Version, Revision, Speaks string

	Out, Err io.Writer
}

// Command returns the verb `agent`.
func Command(p Process) *cli.Command {
	return &cli.Command{
		Name:        "agent",
		Usage:       "run an agent (server, client or both) until it is told to end",
		Description: "Starts with -dev for a server and client in one process, or with -config for a real one.\nSIGINT and SIGTERM end it, SIGHUP reloads log level and certificates.",
		Flags:       flags(),
		OnUsageError: func(_ context.Context, _ *cli.Command, err error, _ bool) error {
			return err
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return fmt.Errorf("the agent takes no arguments, only flags: %q is too much", cmd.Args().First())
			}
			return start(ctx, cmd, p)
		},
	}
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dev", Usage: "server and client in one process, on loopback, forgotten at the end"},
		&cli.StringSliceFlag{Name: "config", Usage: "configuration `file or folder` (repeatable; later ones win)"},
		&cli.StringFlag{Name: "bind", Usage: "`address` to bind"},
		&cli.StringFlag{Name: "data-dir", Usage: "`folder` that keeps the agent's state"},
		&cli.StringFlag{Name: "plugin-dir", Usage: "`folder` of external drivers"},
		&cli.StringFlag{Name: "region", Usage: "`name` of the region"},
		&cli.StringFlag{Name: "dc", Usage: "`name` of the datacenter"},
		&cli.StringFlag{Name: "node", Usage: "`name` of this agent"},
		&cli.StringFlag{Name: "log-level", Usage: "TRACE, DEBUG, INFO, WARN, ERROR or OFF"},
		&cli.BoolFlag{Name: "log-json", Usage: "log as JSON"},
		&cli.BoolFlag{Name: "server", Usage: "run a server"},
		&cli.IntFlag{Name: "bootstrap-expect", Usage: "`number` of servers that form the region"},
		&cli.StringFlag{Name: "encrypt", Usage: "gossip `key`, base64"},
		&cli.StringSliceFlag{Name: "retry-join", Usage: "`address` of a server to join (repeatable)"},
		&cli.IntFlag{Name: "retry-max", Usage: "give up joining after this `number` of tries (0: never)"},
		&cli.StringFlag{Name: "retry-interval", Usage: "`duration` between tries to join"},
		&cli.BoolFlag{Name: "client", Usage: "run a node agent"},
		&cli.StringFlag{Name: "servers", Usage: "`addresses` of servers for the node agent, separated by commas"},
		&cli.StringFlag{Name: "state-dir", Usage: "`folder` of the node agent's memory"},
		&cli.StringFlag{Name: "alloc-dir", Usage: "`folder` of the allocations"},
		&cli.StringFlag{Name: "node-class", Usage: "`class` of the node"},
		&cli.StringFlag{Name: "node-pool", Usage: "`pool` of the node"},
		&cli.StringSliceFlag{Name: "meta", Usage: "`key=value` of the node (repeatable)"},
		&cli.StringFlag{Name: "network-interface", Usage: "`interface` whose address tasks get"},
	}
}

// configure builds the configuration: defaults, -dev, files, flags.
func configure(cmd *cli.Command) (*Config, error) {
	c := Default()
	if cmd.Bool("dev") {
		c.ApplyDev()
	}
	for _, path := range cmd.StringSlice("config") {
		if err := c.LoadPath(path); err != nil {
			return nil, err
		}
	}
	if err := applyFlags(c, cmd); err != nil {
		return nil, err
	}
	if c.Dev && c.DataDir == "" {
		dir, err := os.MkdirTemp("", "steppe-dev-")
		if err != nil {
			return nil, fmt.Errorf("make a temporary data folder: %w", err)
		}
		c.DataDir, c.StateOwned = dir, true
	}
	return c, nil
}

func applyFlags(c *Config, cmd *cli.Command) error {
	for name, into := range map[string]*string{
		"bind": &c.BindAddr, "data-dir": &c.DataDir, "plugin-dir": &c.PluginDir, "region": &c.Region, "dc": &c.Datacenter,
		"node": &c.Name, "log-level": &c.LogLevel, "encrypt": &c.Server.Encrypt, "retry-interval": &c.Server.RetryInterval,
		"state-dir": &c.Client.StateDir, "alloc-dir": &c.Client.AllocDir, "node-class": &c.Client.NodeClass,
		"node-pool": &c.Client.NodePool, "network-interface": &c.Client.NetworkInterface,
	} {
		if cmd.IsSet(name) {
			*into = cmd.String(name)
		}
	}
	for name, into := range map[string]*bool{"log-json": &c.LogJSON, "server": &c.Server.Enabled, "client": &c.Client.Enabled} {
		if cmd.IsSet(name) {
			*into = cmd.Bool(name)
		}
	}
	for name, into := range map[string]*int{"bootstrap-expect": &c.Server.BootstrapExpect, "retry-max": &c.Server.RetryMax} {
		if cmd.IsSet(name) {
			*into = cmd.Int(name)
		}
	}
	c.Server.RetryJoin = append(c.Server.RetryJoin, cmd.StringSlice("retry-join")...)
	if cmd.IsSet("servers") {
		c.Client.Servers = strings.Split(cmd.String("servers"), ",")
	}
	for _, pair := range cmd.StringSlice("meta") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("-meta %q is not key=value", pair)
		}
		if c.Client.Meta == nil {
			c.Client.Meta = map[string]string{}
		}
		c.Client.Meta[key] = value
	}
	return nil
}
