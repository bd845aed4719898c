package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/drivers/plugin/rpc"
	"github.com/steppe-run/steppe/internal/logx"
)

// found is a driver that can be run: what it is called and how it is launched.
type found struct {
	info    *drivers.Info
	command command
	config  []byte
	builtin bool
}

// builtins checks the built-in drivers' blocks in this process: they are the
// same code.
func (h *Host) builtins(ctx context.Context) (map[string]*found, error) {
	out := map[string]*found{}
	for _, name := range slices.Sorted(maps.Keys(h.cfg.Builtins)) {
		driver := h.cfg.Builtins[name](h.cfg.Logger)
		f, err := check(ctx, name, driver, h.cfg.Blocks[name])
		if err != nil {
			return nil, err
		}
		args := append([]string{"plugin", name}, h.cfg.Blocks[name].Args...)
		f.builtin = true
		f.command = command{path: h.cfg.Executable, args: args, builtin: true, socketDir: h.cfg.SocketDir}
		out[name] = f
	}
	return out, nil
}

// check asks a driver what it is and whether it takes its block.
func check(ctx context.Context, name string, d drivers.Describer, block Block) (*found, error) {
	info, err := d.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", name, err)
	}
	schema, err := d.Schema(ctx)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: read its schema: %w", name, err)
	}
	encoded, err := config.Encode(schema.Plugin, block.Config, nil)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: config: %w", name, err)
	}
	if err := d.Configure(ctx, encoded, nil); err != nil {
		return nil, fmt.Errorf("plugin %q: config: %w", name, err)
	}
	return &found{info: info, config: encoded}, nil
}

// externals finds the plugins that a block names in the plugin directory.
func (h *Host) externals(ctx context.Context) ([]*found, error) {
	if h.cfg.PluginDir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(h.cfg.PluginDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read plugin_dir: %w", err)
	}
	var out []*found
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".exe")
		block, named := h.cfg.Blocks[name]
		if !named || !isExecutable(entry, h.cfg.PluginDir) {
			continue
		}
		f, err := h.external(ctx, name, block, filepath.Join(h.cfg.PluginDir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if f != nil {
			out = append(out, f)
		}
	}
	return out, nil
}

func isExecutable(entry fs.DirEntry, dir string) bool {
	info, err := os.Stat(filepath.Join(dir, entry.Name()))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// external asks one process what the plugin is and a second whether it takes
// its block. It returns nil for a plugin that can't be used here.
func (h *Host) external(ctx context.Context, name string, block Block, path string) (*found, error) {
	cmd := command{path: path, args: block.Args, socketDir: h.cfg.SocketDir}
	logger := h.cfg.Logger.With(logx.KeyDriver, name)
	var f *found
	var schema *drivers.Schema
	err := withProcess(ctx, h, cmd, logger, func(ctx context.Context, d *rpc.Driver) error {
		info, err := d.Info(ctx)
		var other *rpc.NotADriverError
		if errors.As(err, &other) {
			logger.Warn("plugin is skipped", logx.KeyReason, other.Error())
			return nil
		}
		if err != nil {
			return err
		}
		ok, err := speaksOurs(info)
		if err != nil || !ok {
			logger.Warn("plugin is skipped: it doesn't speak the driver protocol's version", "versions", strings.Join(info.APIVersions, ", "))
			return err
		}
		f = &found{info: info, command: cmd}
		schema, err = d.Schema(ctx)
		return err
	})
	if err != nil || f == nil {
		return nil, nameError(name, err)
	}
	if f.config, err = config.Encode(schema.Plugin, block.Config, nil); err != nil {
		return nil, nameError(name, err)
	}
	err = withProcess(ctx, h, cmd, logger, func(ctx context.Context, d *rpc.Driver) error { return d.Configure(ctx, f.config, nil) })
	return f, nameError(name, err)
}

func nameError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("plugin %q: %w", name, err)
}

// withProcess runs f against a process of its own.
func withProcess(ctx context.Context, h *Host, cmd command, logger *slog.Logger, f func(context.Context, *rpc.Driver) error) error {
	p, err := launch(ctx, cmd, h.cfg.Clock, logger)
	if err != nil {
		return err
	}
	defer p.close()
	answer, cancel := context.WithTimeout(ctx, h.cfg.Answer)
	defer cancel()
	err = f(answer, p.driver)
	if err != nil && ctx.Err() == nil && errors.Is(answer.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it doesn't answer: %w", err)
	}
	return err
}

// speaksOurs reports whether a plugin offers the protocol version there is.
func speaksOurs(info *drivers.Info) (bool, error) {
	if len(info.APIVersions) == 0 {
		return false, errors.New("it names no version of the driver protocol")
	}
	ours := version.Must(version.NewVersion(drivers.APIVersion))
	match := false
	for _, text := range info.APIVersions {
		v, err := version.NewVersion(text)
		if err != nil {
			return false, fmt.Errorf("protocol version %q: %w", text, err)
		}
		match = match || v.Equal(ours)
	}
	return match, nil
}

// choose decides between plugins of the same name: the higher version, and an
// external one before an equal built-in one.
func choose(known map[string]*found, next *found) error {
	v, err := version.NewVersion(next.info.Version)
	if err != nil {
		return fmt.Errorf("plugin %q: version %q: %w", next.info.Name, next.info.Version, err)
	}
	if old, ok := known[next.info.Name]; ok {
		had, err := version.NewVersion(old.info.Version)
		if err == nil && (had.GreaterThan(v) || had.Equal(v) && !old.builtin) {
			return nil
		}
	}
	known[next.info.Name] = next
	return nil
}
