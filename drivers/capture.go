package drivers

import (
	"context"
	"sync"
	"time"
)

// maxCapture bounds what Exec keeps of each output.
const maxCapture = 8 << 20

// Capture is a writer that keeps the first megabytes of what is written and
// drops the rest, for Exec's results.
type Capture struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer and never fails.
func (c *Capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := maxCapture - len(c.data); room > 0 {
		c.data = append(c.data, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// Bytes returns what was kept.
func (c *Capture) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.data...)
}

// Collect is Exec for drivers that have ExecStreaming, which is run. A timeout of
// zero is none.
func Collect(ctx context.Context, command []string, timeout time.Duration, run func(context.Context, *ExecRequest) (*ExitResult, error)) (*ExecResult, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	var stdout, stderr Capture
	exit, err := run(ctx, &ExecRequest{Command: command, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return nil, err
	}
	return &ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Exit: *exit}, nil
}
