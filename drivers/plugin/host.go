package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

// Config says which drivers a host runs.
type Config struct {
	// Builtins are the drivers inside this program by name. Each runs as
	// `Executable plugin NAME`, which must end in Serve.
	Builtins map[string]func(*slog.Logger) drivers.Driver
	// Blocks are the agent's `plugin "NAME"` blocks. A built-in driver takes
	// its configuration from one; a file in PluginDir needs one to be loaded.
	Blocks map[string]Block
	// Allow, if it isn't empty, names the only drivers to offer; Deny those not to.
	Allow, Deny []string
	// PluginDir holds third parties' plugins; it may be empty or absent.
	PluginDir string
	// StateDir is where the running plugins are recorded across restarts.
	StateDir string
	// SocketDir is where plugin sockets are made; empty is the system's
	// temporary directory. Its path must be short.
	SocketDir string
	// Executable is this program; empty finds it.
	Executable string
	Node       drivers.NodeConfig
	// Answer bounds the questions that a plugin answers by heart (20s).
	Answer time.Duration
	Clock  clock.Clock
	Logger *slog.Logger
}

// Block is one `plugin` block of the agent's configuration.
type Block struct {
	Args   []string
	Config map[string]any
}

// Host keeps the node's driver plugins running. It is the agent's
// drivers.Catalog.
type Host struct {
	cfg       Config
	board     *board
	reg       *register
	instances map[string]*instance

	mu      sync.Mutex
	schemas map[string]cachedSchema
}

// cachedSchema is a driver's schema as one process of it told it.
type cachedSchema struct {
	process *child
	schema  *drivers.Schema
}

var _ drivers.Catalog = (*Host)(nil)

// Open ends what an earlier agent left running, finds the plugins and checks
// their configuration. An error here should stop the agent.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	if cfg.Executable == "" {
		// By this name the program is found even when its file was replaced.
		cfg.Executable = "/proc/self/exe"
	}
	if cfg.Answer <= 0 {
		cfg.Answer = answerTimeout
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make plugin state directory: %w", err)
	}
	h := &Host{
		cfg: cfg, board: newBoard(), reg: openRegister(cfg.StateDir),
		instances: map[string]*instance{}, schemas: map[string]cachedSchema{},
	}
	if err := h.reg.endLeftovers(ctx, cfg.Clock, cfg.Logger); err != nil {
		return nil, err
	}
	chosen, err := h.builtins(ctx)
	if err != nil {
		return nil, err
	}
	externals, err := h.externals(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range externals {
		if err := choose(chosen, f); err != nil {
			return nil, err
		}
	}
	for name, f := range chosen {
		if len(cfg.Allow) > 0 && !slices.Contains(cfg.Allow, name) || slices.Contains(cfg.Deny, name) {
			continue
		}
		h.instances[name] = h.newInstance(name, f)
	}
	h.warnUnused(externals)
	return h, nil
}

func (h *Host) newInstance(name string, f *found) *instance {
	return &instance{
		name: name, command: f.command, config: f.config, node: h.cfg.Node, answer: h.cfg.Answer, clock: h.cfg.Clock,
		logger: h.cfg.Logger.With(logx.KeyDriver, name), board: h.board, reg: h.reg,
		changed: make(chan struct{}), handles: map[string]*drivers.Handle{}, lost: map[string]error{},
	}
}

// warnUnused tells of blocks that name nothing.
func (h *Host) warnUnused(externals []*found) {
	used := map[string]bool{}
	for _, f := range externals {
		used[filepath.Base(f.command.path)] = true
	}
	for name := range h.cfg.Blocks {
		if h.cfg.Builtins[name] == nil && !used[name] && !used[name+".exe"] {
			h.cfg.Logger.Warn("a plugin block names no plugin", "name", name, logx.KeyPath, h.cfg.PluginDir)
		}
	}
}

// Run keeps the plugins running until ctx ends, then ends them. Tasks go on.
func (h *Host) Run(ctx context.Context) error {
	group := loop.New(ctx)
	for name, in := range h.instances {
		group.Go("driver "+name, in.run)
	}
	return group.Wait()
}

// Names implements drivers.Catalog.
func (h *Host) Names() []string { return slices.Sorted(maps.Keys(h.instances)) }

// Driver implements drivers.Catalog.
func (h *Host) Driver(name string) (drivers.Driver, error) {
	in, ok := h.instances[name]
	if !ok {
		return nil, &drivers.UnknownDriverError{Name: name}
	}
	return guard{in}, nil
}

// EncodeConfig implements drivers.Catalog.
func (h *Host) EncodeConfig(ctx context.Context, driver string, block map[string]any, vars map[string]string) ([]byte, error) {
	in, ok := h.instances[driver]
	if !ok {
		return nil, &drivers.UnknownDriverError{Name: driver}
	}
	schema, err := h.schema(ctx, in)
	if err != nil {
		return nil, err
	}
	return config.Encode(schema.Task, block, vars)
}

// schema asks each process of a driver once.
func (h *Host) schema(ctx context.Context, in *instance) (*drivers.Schema, error) {
	p, err := in.ready(ctx, nil, patience)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	cached, ok := h.schemas[in.name]
	h.mu.Unlock()
	if ok && cached.process == p {
		return cached.schema, nil
	}
	schema, err := guard{in}.Schema(ctx)
	if err != nil {
		return nil, fmt.Errorf("read schema of driver %s: %w", in.name, err)
	}
	h.mu.Lock()
	h.schemas[in.name] = cachedSchema{p, schema}
	h.mu.Unlock()
	return schema, nil
}

// WatchFingerprints implements drivers.Catalog.
func (h *Host) WatchFingerprints(ctx context.Context, emit func(string, *drivers.Fingerprint)) error {
	return h.board.watchFingerprints(ctx, emit)
}

// WatchEvents implements drivers.Catalog.
func (h *Host) WatchEvents(ctx context.Context, emit func(string, *drivers.Event)) error {
	return h.board.watchEvents(ctx, emit)
}
