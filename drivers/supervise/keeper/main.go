//go:build linux

package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers/supervise/keeper/box"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/loop"
)

// maxSpec bounds what is read from standard input.
const maxSpec = 16 << 20

// Main runs a supervisor in the directory args[0] and returns the process'
// exit code. The spec comes on standard input, the report goes to standard
// output.
func Main(args []string) int {
	if len(args) == 1 && args[0] == box.Arg {
		return box.Main()
	}
	// A small heap matters more here than speed.
	debug.SetGCPercent(20)
	// Signals for the terminal's or the agent's sake aren't for us. They are
	// caught and dropped: an ignored signal would be ignored by the task too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE, syscall.SIGQUIT)
	if len(args) == 2 && args[0] == CollectorArg {
		return collectorMain(args[1])
	}
	// The task dies with the thread that started it: this one must stay.
	runtime.LockOSThread()
	report := json.NewEncoder(os.Stdout)
	k, err := start(args)
	if err != nil {
		_ = report.Encode(Report{Error: err.Error(), NotFound: isNotFound(err)})
		return 1
	}
	status := k.status()
	if err := report.Encode(Report{Status: &status}); err != nil {
		// Whoever wanted the task is gone before it could know of it.
		k.tree.kill()
	}
	if err := detach(); err != nil {
		return 1
	}
	if err := k.run(context.Background()); err != nil {
		return 1
	}
	return 0
}

// start reads the spec and brings the task up.
func start(args []string) (*keeper, error) {
	if len(args) != 1 {
		return nil, errors.New("the supervisor takes one argument: its directory")
	}
	var spec Spec
	if err := json.NewDecoder(io.LimitReader(os.Stdin, maxSpec)).Decode(&spec); err != nil {
		return nil, fmt.Errorf("read supervisor spec: %w", err)
	}
	if spec.Version > Version {
		return nil, fmt.Errorf("the supervisor speaks version %d, not %d", Version, spec.Version)
	}
	if err := os.Chdir(args[0]); err != nil {
		return nil, fmt.Errorf("enter supervision directory: %w", err)
	}
	_ = unix.Prctl(unix.PR_SET_NAME, namePointer("steppe-task"), 0, 0, 0) // a name for people only
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	if spec.Box != nil {
		if err := guard(&spec); err != nil {
			return nil, err
		}
	}
	return bringUp(&spec)
}

// detach lets go of the streams that the starter gave.
func detach() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer func() { _ = null.Close() }()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("detach from starter: %w", err)
		}
	}
	return nil
}

// run serves until the task has ended and nothing of it is left.
func (k *keeper) run(ctx context.Context) error {
	serving := loop.New(ctx)
	serving.Go("accept", func(context.Context) error { k.accept(serving); return nil })
	exit := k.await()
	failpoint.Here(failpoint.KeeperEnded)
	err := k.record(exit)
	failpoint.Here(failpoint.KeeperRecorded)
	close(k.ended)
	_ = k.listener.Close()
	// Waiters get their answers; commands were killed with the task.
	_ = serving.Wait()
	k.tree.remove()
	return err
}

// await blocks until the task's process has ended, kills what it left and
// takes the rest of its output.
func (k *keeper) await() Exit {
	status := <-k.main
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	exit := exitOf(status, k.clock.Now())
	exit.OOM = k.tree.oomKilled()
	k.tree.kill()
	k.output.finish(k.clock)
	return exit
}

// record writes the exit status before anybody is told of it. It survives us,
// but needn't survive the machine: with that the task is gone all the same, and
// making the disk hold every exit would cost a burst of short tasks most of its
// time.
func (k *keeper) record(exit Exit) error {
	k.mu.Lock()
	k.exit = &exit
	k.mu.Unlock()
	return replace(ExitName, exit)
}

// replace writes a file in the supervision directory as a whole.
func replace(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
