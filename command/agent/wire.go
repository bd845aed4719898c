package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/drivers/builtin"
	"github.com/steppe-run/steppe/drivers/plugin"
	"github.com/steppe-run/steppe/drivers/supervise"
	"github.com/steppe-run/steppe/httpapi"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/heap"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/server"
)

// assembly is one agent: what its parts are made from, and the parts.
type assembly struct {
	config   *Config
	settings *Settings
	process  Process
	logger   *slog.Logger
	logs     *logFeed
	tls      *certs.TLS
	reload   func() error

	listener  net.Listener
	metrics   *meters
	server    *server.Server // nil on an agent that only runs tasks
	host      *plugin.Host   // with the next three, nil on an agent that only serves
	collector *supervise.Collector
	session   *link.Session
	upstream  *upstream
	client    *client.Client
	api       *door.API
}

// build opens every part; nothing runs yet. What fails first is told.
func (a *assembly) build(ctx context.Context) error {
	var err error
	if a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.settings.HTTPAddr); err != nil {
		return err
	}
	if a.listener, err = a.secure(door.PerClient(a.listener, a.config.Limits.HTTPMaxConnsPerClient)); err != nil {
		return err
	}
	if a.metrics, err = newMeters(a.config, a.settings); err != nil {
		return err
	}
	if a.config.Server.Enabled {
		if a.server, err = server.New(a.serverConfig()); err != nil {
			return err
		}
	}
	if a.config.Client.Enabled {
		if err = a.buildNode(ctx); err != nil {
			return err
		}
	}
	a.api, err = httpapi.New(a.apiConfig())
	return err
}

func (a *assembly) buildNode(ctx context.Context) error {
	var err error
	blocks, err := a.config.pluginBlocks()
	if err != nil {
		return err
	}
	if a.host, err = plugin.Open(ctx, a.hostConfig(blocks)); err != nil {
		return fmt.Errorf("open the drivers: %w", err)
	}
	a.collector = builtin.NewLogCollector(filepath.Join(a.settings.ClientDir, "logs"), a.logger.With(logx.KeyRoom, "drivers"))
	a.upstream = &upstream{tls: a.tls}
	a.client, err = client.New(a.clientConfig(), client.Deps{
		Connect: func(id client.Identity, handler http.Handler) (client.Session, error) {
			var err error
			a.session, err = link.NewSession(link.SessionConfig{
				NodeID: id.NodeID, SecretID: id.SecretID, Servers: a.serverAddrs(), TLS: a.tls, Handler: handler,
				Logger: a.logger.With(logx.KeyRoom, "link"),
			})
			a.upstream.session = a.session
			return a.session, err
		},
		Servers: a.upstream,
		Drivers: a.host, Logs: a.collector, Logger: a.logger.With(logx.KeyRoom, "client"),
	})
	if err != nil {
		return fmt.Errorf("open the node agent: %w", err)
	}
	return nil
}

// run builds and runs the agent until ctx ends or a part fails. Server,
// drivers and session outlive the node agent, which may have tasks to end.
func (a *assembly) run(ctx context.Context) error {
	if err := a.build(ctx); err != nil {
		return errors.Join(err, a.abandon())
	}
	base := loop.New(context.WithoutCancel(ctx))
	if a.server != nil {
		base.Go("server", a.server.Run)
		if !heap.UserDecides() { // memory that the machine has, for a fifth of the server's processor time
			base.Go("garbage", func(ctx context.Context) error { return heap.Keep(ctx, clock.Real{}, heap.Room()) })
		}
	}
	if a.client != nil {
		base.Go("drivers", a.host.Run)
		base.Go("log collector", a.collector.Run)
		base.Go("session", a.session.Run)
	}
	top := loop.New(ctx)
	detach := context.AfterFunc(base.Context(), top.Stop) // a part below failed
	defer detach()
	if a.client != nil {
		top.Go("client", a.client.Run)
	}
	if a.server != nil {
		top.Go("forwarded http", func(ctx context.Context) error {
			return door.Serve(ctx, a.server.ForwardListener(), a.api.Inside())
		})
	}
	top.Go("http", func(ctx context.Context) error { return door.Serve(ctx, a.listener, a.api) })
	top.Go("reload", a.awaitHangup)
	top.Go("banner", a.announce)
	top.Go("metrics", a.measure)
	err := top.Wait()
	base.Stop()
	return errors.Join(err, base.Wait())
}

// abandon closes what build had opened before it failed.
func (a *assembly) abandon() error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	group := loop.New(over)
	if a.server != nil {
		group.Go("server", a.server.Run)
	}
	if a.client != nil {
		group.Go("client", a.client.Run)
	}
	var err error
	if a.listener != nil {
		err = a.listener.Close()
	}
	return errors.Join(group.Wait(), err)
}

// awaitHangup reloads on SIGHUP.
func (a *assembly) awaitHangup(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
		}
		if err := a.reload(); err != nil {
			a.logger.Error("reload failed, the old configuration stays", logx.KeyError, err)
			continue
		}
		a.logger.Info("configuration reloaded")
	}
}
