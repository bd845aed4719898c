package plugin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/drivers/plugin/rpc"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
)

// startTimeout bounds how long a plugin may take to print its address.
const startTimeout = time.Minute

// maxMessage is the largest message that is taken from a plugin.
const maxMessage = 16 << 20

// shutdownTimeout bounds the farewell to a plugin.
const shutdownTimeout = 2 * time.Second

// command is what launches a plugin.
type command struct {
	path string
	args []string
	// builtin processes are ours: they understand the lifeline.
	builtin bool
	// socketDir is where the plugin's socket is made.
	socketDir string
}

// child is one running plugin process.
type child struct {
	driver *rpc.Driver
	pid    int
	// gone is done when the process has ended.
	gone   <-chan struct{}
	client *plugin.Client
	once   sync.Once
}

// launch starts a process and connects to it.
func launch(ctx context.Context, c command, clk clock.Clock, logger *slog.Logger) (*child, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var started *launcher
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake(),
		Plugins:          plugin.PluginSet{kindBase: &service{}, kindDriver: &service{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:     startTimeout,
		Logger:           quiet(),
		Stderr:           &logLines{logger: logger},
		MinPort:          10000,
		MaxPort:          25000,
		// The library itself would take messages of any size.
		GRPCDialOptions:  []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage))},
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: c.socketDir},
		RunnerFunc: func(_ hclog.Logger, template *exec.Cmd, _ string) (runner.Runner, error) {
			cmd := exec.Command(c.path, c.args...)
			cmd.Env = template.Env
			var err error
			started, err = newLauncher(cmd, c.builtin, clk)
			return started, err
		},
	})
	p := &child{client: client}
	if err := p.connect(); err != nil {
		p.close()
		return nil, fmt.Errorf("start plugin %s: %w", c.path, err)
	}
	p.pid = started.cmd.Process.Pid
	logger.Debug("driver plugin started", logx.KeyPID, p.pid)
	return p, nil
}

func (p *child) connect() error {
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(kindDriver)
	if err != nil {
		return err
	}
	conn, ok := raw.(*connection)
	if !ok {
		return fmt.Errorf("dispensed an unexpected %T", raw)
	}
	p.driver, p.gone = conn.driver, conn.alive.Done()
	return nil
}

// close ends the process, gracefully at first. It may be called often.
func (p *child) close() { p.once.Do(p.client.Kill) }

// shutdown says farewell before closing.
func (p *child) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	// A plugin that can't answer is ended all the same.
	_ = p.driver.Shutdown(ctx)
	p.close()
}

// quiet is the library's logger: what matters of its doings is logged here.
func quiet() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
}
