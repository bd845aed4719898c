package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/server"
)

// assembly is one agent: what its parts are made from.
type assembly struct {
	config   *Config
	settings *Settings
	process  Process
	logger   *slog.Logger
	tls      *link.TLS
}

// run starts the parts and waits for the first that fails or for ctx.
func (a *assembly) run(ctx context.Context, reload func() error) error {
	group := loop.New(ctx)
	group.Go("reload", func(ctx context.Context) error { return a.awaitHangup(ctx, reload) })
	if a.config.Server.Enabled {
		srv, err := server.New(a.serverConfig())
		if err != nil {
			group.Stop()
			return errors.Join(err, group.Wait())
		}
		group.Go("server", srv.Run)
	}
	return group.Wait()
}

// awaitHangup reloads on SIGHUP.
func (a *assembly) awaitHangup(ctx context.Context, reload func() error) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
		}
		if err := reload(); err != nil {
			a.logger.Error("reload failed, the old configuration stays", "error", err)
			continue
		}
		a.logger.Info("configuration reloaded")
	}
}

func (a *assembly) serverConfig() server.Config {
	c, s := a.config, a.settings
	return server.Config{
		Name: s.Name, Region: c.Region, Datacenter: c.Datacenter, DataDir: s.ServerDir,
		BootstrapExpect: c.Server.BootstrapExpect, RetryJoin: s.RetryJoin,
		LinkAddr: s.RPCAddr, SerfAddr: s.SerfAddr,
		LinkAdvertiseAddr: s.RPCAdvertise, SerfAdvertiseAddr: s.SerfAdvertise, HTTPAdvertiseAddr: s.HTTPAdvertise,
		Version:        a.process.Version,
		HeartbeatGrace: s.HeartbeatGrace, MinHeartbeatTTL: s.MinHeartbeatTTL, MaxHeartbeatsPerSecond: int(c.Server.MaxHeartbeats),
		GC: server.GCConfig{
			Interval: s.JobGCInterval, EvalThreshold: s.EvalGC, BatchEvalThreshold: s.BatchEvalGC,
			JobThreshold: s.JobGC, NodeThreshold: s.NodeGC, DeploymentThreshold: s.DeploymentGC,
		},
		Logger: a.logger.With("room", "server"),
	}
}
