package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/port"
)

// The waves of jobs: the one that is timed, and the one that waits before it
// runs.
const (
	waveMain   = "main"
	waveSizing = "sizing"
)

// run is one measurement under way.
type run struct {
	opts   Options
	say    func(format string, args ...any)
	clock  clock.Clock
	dir    string
	addr   string
	client *api.Client
	api    string // host:port
	crowd  *crowd
	report Report
}

// Run measures, telling on progress how far it is. What it started has ended
// and what it wrote is gone when it returns, also if ctx ends early.
func Run(ctx context.Context, opts Options, progress io.Writer) (report *Report, err error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	r := &run{opts: opts, clock: clock.Real{}}
	r.say = func(format string, args ...any) {
		_, _ = fmt.Fprintf(progress, format+"\n", args...) // who doesn't listen misses nothing else
	}
	r.report = Report{Nodes: opts.Nodes, Jobs: opts.Jobs, Count: opts.Count, Connections: opts.Connections, Asked: opts.Jobs * opts.Count}
	if r.dir, err = os.MkdirTemp(opts.Dir, "steppe-sim-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, fmt.Errorf("the run took longer than -timeout %s", opts.Timeout))
	defer cancel()
	group := loop.New(ctx)
	roomy(group)
	group.Go("measure", func(ctx context.Context) error {
		defer group.Stop()
		return r.measure(ctx, group)
	})
	err = group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // whatever else went wrong follows from it
	}
	if err != nil {
		return nil, err
	}
	return &r.report, nil
}

func (r *run) measure(ctx context.Context, group *loop.Group) error {
	for _, step := range []func(context.Context, *loop.Group) error{r.startServer, r.startNodes} {
		if err := step(ctx, group); err != nil {
			return err
		}
	}
	if err := r.timed(ctx); err != nil {
		return err
	}
	if r.opts.Sizing == 0 {
		return nil
	}
	return r.sized(ctx)
}

// startServer starts a server on loopback and waits until it leads.
func (r *run) startServer(ctx context.Context, group *loop.Group) error {
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = port.Find("127.0.0.1"); err != nil {
			return err
		}
	}
	config := filepath.Join(r.dir, "agent.hcl")
	text := fmt.Sprintf(serverConfig, filepath.Join(r.dir, "data"), ports[0], ports[1], ports[2])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	server, err := start(ctx, r.dir, "server", r.opts.Program, "agent", "-config", config)
	if err != nil {
		return err
	}
	group.Go("server", func(ctx context.Context) error {
		_, _ = io.Copy(io.Discard, server.out) // until it ends
		return server.wait(ctx)
	})
	r.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[1]))
	r.api = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	if r.client, err = api.New(api.Config{Address: "http://" + r.api}); err != nil {
		return err
	}
	r.say("The server starts (process %d).", server.cmd.Process.Pid)
	if err := r.until(ctx, 20*time.Millisecond, "the server to lead", func() (bool, error) {
		leader, err := r.client.Leader(ctx)
		return err == nil && leader != "", nil
	}); err != nil {
		return err
	}
	return r.choose(ctx)
}

// serverConfig is that of a plain server, without limits for one machine's
// connections.
const serverConfig = `name      = "sim"
data_dir  = %q
bind_addr = "127.0.0.1"
log_level = "WARN"
ports {
  http = %d
  rpc  = %d
  serf = %d
}
server {
  enabled          = true
  bootstrap_expect = 1
}
limits {
  http_max_conns_per_client = 0
  rpc_max_conns_per_client  = 0
}
`

// choose sets the scheduler's algorithm.
func (r *run) choose(ctx context.Context) error {
	if r.opts.Algorithm == "" {
		return nil
	}
	now, _, err := r.client.SchedulerConfig(ctx, nil)
	if err != nil {
		return err
	}
	now.SchedulerAlgorithm = r.opts.Algorithm
	_, err = r.client.SetSchedulerConfig(ctx, now, nil)
	return err
}

// startNodes starts the simulated nodes and waits until all are registered.
func (r *run) startNodes(ctx context.Context, group *loop.Group) error {
	args := []string{"sim", "nodes", "-server", r.addr, "-ca", filepath.Join(r.dir, ".steppe"), "-nodes", strconv.Itoa(r.opts.Nodes)}
	if r.opts.Equal {
		args = append(args, "-equal")
	}
	c, err := start(ctx, r.dir, "nodes", r.opts.Program, args...)
	if err != nil {
		return err
	}
	r.crowd = &crowd{child: c, answers: bufio.NewReader(c.out)}
	group.Go("nodes", c.wait)
	r.say("%d simulated nodes register (process %d).", r.opts.Nodes, c.cmd.Process.Pid)
	return r.until(ctx, 50*time.Millisecond, "all nodes to be registered", func() (bool, error) {
		p, err := r.crowd.ask("status " + waveMain)
		return p.Registered == r.opts.Nodes, err
	})
}

// until asks again and again until done.
func (r *run) until(ctx context.Context, every time.Duration, what string, done func() (bool, error)) error {
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		timer := r.clock.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case <-timer.C():
		}
	}
}
