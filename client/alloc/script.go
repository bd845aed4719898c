package alloc

import (
	"context"
	"fmt"
	"sync"

	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/drivers"
)

// scriptOutput is how much of what a check's command prints is kept; the rest
// is read and dropped, so that the command is never held up.
const scriptOutput = 4 << 10

// runScript runs the command of a check in one of the tasks. It ends when ctx
// does, and the driver ends the command then.
func (r *Runner) runScript(ctx context.Context, name string, command []string) (int, string, error) {
	t := r.task(name)
	if t == nil {
		return 0, "", fmt.Errorf("run the command of a check: %w %q", ErrUnknownTask, name)
	}
	r.mu.Lock()
	up, ok := r.up[name]
	r.mu.Unlock()
	if !ok {
		return 0, "", fmt.Errorf("run the command of a check in task %q: %w", name, task.ErrNotRunning)
	}
	var out beginning
	exit, err := t.Exec(ctx, &drivers.ExecRequest{Command: up.env.ReplaceAll(command), Stdout: &out, Stderr: &out})
	if err != nil {
		return 0, out.String(), err
	}
	code := exit.ExitCode
	if code == 0 && exit.Signal != 0 {
		code = 128 + exit.Signal
	}
	return code, out.String(), nil
}

// beginning keeps what is written first.
type beginning struct {
	mu   sync.Mutex // a command's two streams are written side by side
	data []byte
}

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p[:min(len(p), scriptOutput-len(b.data))]...)
	return len(p), nil
}

// String is what was kept.
func (b *beginning) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}
