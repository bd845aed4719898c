package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/process"
)

// farewell is how long a leftover plugin may take to end by itself.
const farewell = 2 * time.Second

// register remembers on disk which plugin processes run, so that an agent that
// comes after a killed one can end them: nothing can reconnect to them, and
// two plugins must not care for the same tasks.
type register struct {
	path string
	mu   sync.Mutex
	live map[int]process.Identity
}

func openRegister(stateDir string) *register {
	return &register{path: filepath.Join(stateDir, "plugins.json"), live: map[int]process.Identity{}}
}

// endLeftovers ends the processes that an earlier agent left running.
func (r *register) endLeftovers(ctx context.Context, clk clock.Clock, logger *slog.Logger) error {
	data, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read plugin register: %w", err)
	}
	var left []process.Identity
	if err := json.Unmarshal(data, &left); err != nil {
		// A torn file names nobody; what it named ends with its lifeline.
		logger.Warn("plugin register is unreadable", logx.KeyPath, r.path, logx.KeyError, err)
		return nil
	}
	for _, id := range left {
		if !id.Alive() {
			continue
		}
		logger.Info("ending the plugin of an earlier agent", logx.KeyPID, id.PID)
		end(ctx, id, clk)
	}
	return nil
}

// end terminates a process and waits until it is dead.
func end(ctx context.Context, id process.Identity, clk clock.Clock) {
	_ = id.Signal(syscall.SIGTERM) // gone is what we want
	deadline := clk.Now().Add(farewell)
	for id.Alive() && ctx.Err() == nil {
		if clk.Now().After(deadline) {
			_ = id.Signal(syscall.SIGKILL)
		}
		pause(ctx, clk, 10*time.Millisecond)
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, clk clock.Clock, d time.Duration) {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// add records a process that was started.
func (r *register) add(pid int) error {
	id, err := process.Of(pid)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[pid] = id
	return r.write()
}

// remove forgets a process that has ended.
func (r *register) remove(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, pid)
	_ = r.write() // a dead process that stays recorded harms nobody
}

func (r *register) write() error {
	list := make([]process.Identity, 0, len(r.live))
	for _, id := range r.live {
		list = append(list, id)
	}
	data, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("write plugin register: %w", err)
	}
	next := r.path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("write plugin register: %w", err)
	}
	if err := os.Rename(next, r.path); err != nil {
		return fmt.Errorf("write plugin register: %w", err)
	}
	return nil
}
