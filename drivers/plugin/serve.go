package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/rpc"
	"github.com/steppe-run/steppe/internal/loop"
)

// ErrNotAPlugin says that the process wasn't started by an agent.
var ErrNotAPlugin = errors.New("a driver plugin is started by the agent, not by hand: run the agent and name the driver in a job")

// Serve puts driver behind the plugin protocol on this process' standard
// streams and returns when the agent shuts the plugin down, dies, or ctx ends.
// Tasks go on. Create the logger with Logger before calling it.
func Serve(ctx context.Context, driver drivers.Driver) error {
	shake := handshake()
	if os.Getenv(shake.MagicCookieKey) != shake.MagicCookieValue {
		return ErrNotAPlugin
	}
	lifeline, err := openLifeline()
	if err != nil {
		return err
	}
	server := rpc.NewServer(ctx, driver)
	group := loop.New(ctx)
	if s, ok := driver.(drivers.Service); ok {
		group.Go("driver", s.Run)
	}
	stopped := make(chan *grpc.Server, 1)
	group.Go("stop", func(ctx context.Context) error { return stopWith(ctx, <-stopped) })
	if lifeline != nil {
		group.Go("lifeline", func(context.Context) error { watchLifeline(lifeline, group.Stop); return nil })
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: shake,
		Plugins: plugin.PluginSet{
			kindBase:   &service{register: server.RegisterBase},
			kindDriver: &service{register: server.RegisterDriver},
		},
		Logger: quiet(),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(opts...)
			stopped <- s
			return s
		},
	})
	if lifeline != nil {
		_ = lifeline.Close()
	}
	close(stopped)
	group.Stop()
	return errors.Join(group.Wait(), server.Close())
}

// stopWith ends the server when ctx does; the library offers no other way.
func stopWith(ctx context.Context, server *grpc.Server) error {
	<-ctx.Done()
	if server != nil {
		server.Stop()
	}
	return nil
}

// openLifeline returns the pipe that ends with the agent, if there is one.
func openLifeline() (*os.File, error) {
	text := os.Getenv(lifelineEnv)
	if text == "" {
		return nil, nil
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("read %s: %q is not a descriptor", lifelineEnv, text)
	}
	// Tasks must inherit neither the descriptor nor the word of it.
	syscall.CloseOnExec(fd)
	if err := os.Unsetenv(lifelineEnv); err != nil {
		return nil, fmt.Errorf("unset %s: %w", lifelineEnv, err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("open lifeline: %w", err)
	}
	return os.NewFile(uintptr(fd), "lifeline"), nil
}

// watchLifeline blocks until the agent is gone or the pipe is closed here.
func watchLifeline(lifeline *os.File, gone func()) {
	_, _ = io.Copy(io.Discard, lifeline)
	gone()
}
