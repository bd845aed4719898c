package task

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// logPolicy is what a task says about its log files.
func logPolicy(task *structs.Task) *drivers.LogPolicy {
	policy := &drivers.LogPolicy{MaxFiles: 10, MaxFileSizeMB: 10}
	if l := task.LogConfig; l != nil {
		policy.MaxFiles = structs.ValueOr(l.MaxFiles, policy.MaxFiles)
		policy.MaxFileSizeMB = structs.ValueOr(l.MaxFileSizeMB, policy.MaxFileSizeMB)
		policy.Disabled = structs.Value(l.Disabled)
	}
	return policy
}

// placeLogs says where the task's output goes: into files that the driver
// writes itself, or into FIFOs that are read for it.
func (r *Runner) placeLogs(config *drivers.TaskConfig, task *structs.Task) error {
	policy := logPolicy(task)
	r.mu.Lock()
	own := r.caps != nil && r.caps.DisableLogCollection
	r.mu.Unlock()
	switch {
	case own:
		config.Logs = policy
	case policy.Disabled:
		config.StdoutPath, config.StderrPath = os.DevNull, os.DevNull
	case r.host.Logs == nil:
		return fmt.Errorf("driver %q leaves its log output to the agent, and this agent has no log collector: use a driver that writes its own logs (raw_exec, docker)", task.Driver)
	default:
		config.StdoutPath, config.StderrPath = r.fifo("stdout"), r.fifo("stderr")
	}
	return nil
}

func (r *Runner) fifo(stream string) string {
	return filepath.Join(r.dir.LogsPath(), "."+r.name+"."+stream+".fifo")
}

// collect has the FIFOs of a start read, before anything writes to them.
func (r *Runner) collect(ctx context.Context, config *drivers.TaskConfig) error {
	if r.host.Logs == nil || config.StdoutPath != r.fifo("stdout") {
		return nil
	}
	r.mu.Lock()
	r.collected = true
	policy := logPolicy(r.task)
	r.mu.Unlock()
	for _, stream := range []string{"stdout", "stderr"} {
		s := drivers.LogStream{FIFO: r.fifo(stream), Dir: r.dir.LogsPath(), Name: r.name + "." + stream, Policy: *policy}
		if err := r.host.Logs.Collect(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// release lets the FIFOs of a dead task go.
func (r *Runner) release(ctx context.Context) {
	r.mu.Lock()
	collected := r.collected
	r.collected = false
	r.mu.Unlock()
	if !collected {
		return
	}
	ctx, cancel := loop.WithTimeout(context.WithoutCancel(ctx), discardPatience)
	defer cancel()
	err := errors.Join(r.host.Logs.Release(ctx, r.fifo("stdout")), r.host.Logs.Release(ctx, r.fifo("stderr")))
	if err != nil {
		r.logger.Warn("the task's output may not be complete", logx.KeyError, err)
	}
}
