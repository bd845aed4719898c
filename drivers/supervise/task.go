//go:build linux

package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/failpoint"
)

// ErrLost says that a supervisor is gone without having recorded its task's
// end: it was killed, or the machine was restarted.
var ErrLost = errors.New("the task's supervisor is gone, and how the task ended is unknown")

// stepAside is how long a supervisor may take from closing its socket to its
// exit status.
const stepAside = 10 * time.Second

// Task is a supervised task, known by its directory.
type Task struct {
	dir   string
	clock clock.Clock
}

// At returns the task supervised in dir, whether or not there is one.
func At(dir string) *Task { return &Task{dir: dir, clock: clock.Real{}} }

// Status tells how the task is: running, or how it ended, or ErrLost.
func (t *Task) Status(ctx context.Context) (*keeper.Status, error) {
	response, err := t.ask(ctx, keeper.Request{Op: keeper.OpStatus})
	if err == nil {
		return response.Status, nil
	}
	return t.recorded(err)
}

// recorded tells from the files what the socket couldn't.
func (t *Task) recorded(asked error) (*keeper.Status, error) {
	var status keeper.Status
	err := readJSON(t.dir, keeper.StateName, &status)
	if err != nil && (errors.Is(err, fs.ErrNotExist) || isTorn(err)) {
		return t.intended(), ErrLost
	}
	if err != nil {
		return nil, err
	}
	alive := status.Supervisor.Alive()
	// Read after the look at the process: it records before it ends.
	var exit keeper.Exit
	err = readJSON(t.dir, keeper.ExitName, &exit)
	switch {
	case err == nil:
		status.Exit = &exit
		return &status, nil
	case !alive && isTorn(err):
		// The machine went down before the disk had it.
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case alive:
		return nil, fmt.Errorf("ask supervisor: %w", asked)
	}
	return &status, ErrLost
}

// intended is what a supervisor may have made that has written nothing; nil if
// there was none.
func (t *Task) intended() *keeper.Status {
	var status keeper.Status
	if readJSON(t.dir, intentName, &status) != nil {
		return nil
	}
	return &status
}

// Wait blocks until the task has ended.
func (t *Task) Wait(ctx context.Context) (*keeper.Exit, error) {
	var closed time.Time
	for {
		response, err := t.ask(ctx, keeper.Request{Op: keeper.OpWait})
		if err == nil && response.Status.Exit != nil {
			return response.Status.Exit, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		status, err := t.recorded(err)
		switch {
		case err == nil && status.Exit != nil:
			return status.Exit, nil
		case errors.Is(err, ErrLost):
			return nil, err
		}
		// It is alive and doesn't answer: about to end, or overloaded.
		if closed.IsZero() {
			closed = t.clock.Now()
		}
		if t.clock.Now().Sub(closed) > stepAside {
			return nil, err
		}
		timer := t.clock.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C():
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Signal sends a signal to the task's process.
func (t *Task) Signal(ctx context.Context, sig syscall.Signal) error {
	_, err := t.ask(ctx, keeper.Request{Op: keeper.OpSignal, Signal: int(sig)})
	return err
}

// Stop ends the task: by sig at first, by force after timeout. It returns when
// the task has ended, also if it had before.
func (t *Task) Stop(ctx context.Context, sig syscall.Signal, timeout time.Duration) error {
	_, asked := t.ask(ctx, keeper.Request{Op: keeper.OpStop, Signal: int(sig), Timeout: timeout})
	if asked == nil || ctx.Err() != nil {
		return asked
	}
	status, err := t.recorded(asked)
	switch {
	case err == nil && status.Exit != nil:
		if !status.Supervisor.Alive() {
			t.sweep(status) // it may have died with its last work undone
		}
		return nil
	case errors.Is(err, ErrLost):
		t.sweep(status)
		return nil
	}
	return asked
}

// sweep kills what a dead supervisor left. The task's own process died with
// it; what that started may not have.
func (t *Task) sweep(status *keeper.Status) {
	if status == nil {
		return
	}
	_ = status.Task.Signal(syscall.SIGKILL) // gone is what we want
	if status.Owned {
		_ = os.WriteFile(status.Cgroup+"/cgroup.kill", []byte("1"), 0)
		deadline := t.clock.Now().Add(time.Second)
		for os.Remove(status.Cgroup) != nil && t.clock.Now().Before(deadline) {
			if _, err := os.Stat(status.Cgroup); errors.Is(err, fs.ErrNotExist) {
				break
			}
			timer := t.clock.NewTimer(5 * time.Millisecond)
			<-timer.C()
		}
	}
	for _, dir := range status.Groups {
		_ = os.Remove(dir) // what can't be removed is swept when the driver starts
	}
}

// Remove ends the task, if it still runs, and takes its directory away.
func (t *Task) Remove(ctx context.Context) error {
	if err := t.Stop(ctx, syscall.SIGKILL, 0); err != nil {
		return err
	}
	failpoint.Here(failpoint.PluginStopped)
	if err := os.RemoveAll(t.dir); err != nil {
		return fmt.Errorf("remove supervision directory: %w", err)
	}
	failpoint.Here(failpoint.PluginRemoved)
	return nil
}

// ask sends one request and reads one response.
func (t *Task) ask(ctx context.Context, req keeper.Request) (*keeper.Response, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := send(conn, req); err != nil {
		return nil, err
	}
	response, err := receive(bufio.NewReader(conn))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return response, err
}

// dial connects by way of the directory's descriptor: the path itself may be
// longer than a socket's address can be.
func (t *Task) dial(ctx context.Context) (*net.UnixConn, error) {
	dir, err := os.Open(t.dir)
	if err != nil {
		return nil, fmt.Errorf("reach supervisor: %w", err)
	}
	defer func() { _ = dir.Close() }()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), keeper.SocketName))
	if err != nil {
		return nil, fmt.Errorf("reach supervisor: %w", err)
	}
	return conn.(*net.UnixConn), nil
}

func send(conn *net.UnixConn, req keeper.Request, files ...*os.File) error {
	req.Version = keeper.Version
	data, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = syscall.UnixRights(fds...)
	}
	if _, _, err := conn.WriteMsgUnix(append(data, '\n'), rights, nil); err != nil {
		return fmt.Errorf("ask supervisor: %w", err)
	}
	return nil
}

func receive(r *bufio.Reader) (*keeper.Response, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read supervisor's answer: %w", err)
	}
	var response keeper.Response
	if err := json.Unmarshal(line, &response); err != nil {
		return nil, fmt.Errorf("read supervisor's answer: %w", err)
	}
	if response.NotFound {
		return nil, &NotFoundError{Text: response.Error}
	}
	if response.Error != "" {
		return nil, errors.New(response.Error)
	}
	return &response, nil
}
