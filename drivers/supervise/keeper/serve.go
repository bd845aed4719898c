//go:build linux

package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

const (
	// requestTimeout bounds how long a caller may take to say what it wants.
	requestTimeout = 10 * time.Second
	// maxRequest bounds what it says.
	maxRequest = 1 << 20
)

// accept answers callers until the listener is closed.
func (k *keeper) accept(serving *loop.Group) {
	for {
		conn, err := k.listener.AcceptUnix()
		if err != nil {
			return
		}
		serving.Go("answer", func(context.Context) error {
			defer func() { _ = conn.Close() }()
			k.answer(conn)
			return nil
		})
	}
}

// answer serves one caller.
func (k *keeper) answer(conn *net.UnixConn) {
	req, files, err := readRequest(conn, k.clock)
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	if err != nil {
		reply(conn, Response{Error: err.Error()})
		return
	}
	switch req.Op {
	case OpStatus:
		k.replyStatus(conn, nil)
	case OpWait:
		k.wait(conn)
		k.replyStatus(conn, nil)
	case OpSignal:
		k.replyStatus(conn, k.signal(syscall.Signal(req.Signal)))
	case OpStop:
		k.replyStatus(conn, k.stop(syscall.Signal(req.Signal), req.Timeout))
	case OpExec:
		k.exec(conn, req, files)
	default:
		reply(conn, Response{Error: fmt.Sprintf("the supervisor doesn't know the request %q", req.Op)})
	}
}

// readRequest reads one line, and the descriptors that came with it.
func readRequest(conn *net.UnixConn, clk clock.Clock) (*Request, []*os.File, error) {
	if err := conn.SetDeadline(clk.Now().Add(requestTimeout)); err != nil {
		return nil, nil, fmt.Errorf("read request: %w", err)
	}
	var line []byte
	var files []*os.File
	buf, control := make([]byte, 4<<10), make([]byte, unix.CmsgSpace(3*4))
	for !bytes.HasSuffix(line, []byte("\n")) {
		n, cn, _, _, err := conn.ReadMsgUnix(buf, control)
		if err != nil {
			return nil, files, fmt.Errorf("read request: %w", err)
		}
		received, err := descriptors(control[:cn])
		files = append(files, received...)
		if err != nil {
			return nil, files, err
		}
		line = append(line, buf[:n]...)
		if n == 0 || len(line) > maxRequest {
			return nil, files, fmt.Errorf("read request: it has no end")
		}
	}
	var req Request
	if err := json.Unmarshal(line, &req); err != nil {
		return nil, files, fmt.Errorf("read request: %w", err)
	}
	return &req, files, conn.SetDeadline(time.Time{})
}

func descriptors(control []byte) ([]*os.File, error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("read descriptors: %w", err)
	}
	var out []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return out, fmt.Errorf("read descriptors: %w", err)
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			out = append(out, os.NewFile(uintptr(fd), "stream"))
		}
	}
	return out, nil
}

func reply(conn *net.UnixConn, r Response) {
	// A caller who left isn't missed.
	_ = json.NewEncoder(conn).Encode(r)
}

func (k *keeper) replyStatus(conn *net.UnixConn, err error) {
	status := k.status()
	r := Response{Status: &status}
	if err != nil {
		r.Error = err.Error()
	}
	reply(conn, r)
}

// wait blocks until the task has ended or the caller left.
func (k *keeper) wait(conn *net.UnixConn) {
	left := make(chan struct{})
	watching := loop.New(context.Background())
	watching.Go("caller", func(context.Context) error {
		_, _ = conn.Read(make([]byte, 1))
		close(left)
		return nil
	})
	select {
	case <-k.ended:
	case <-left:
	}
	_ = conn.CloseRead()
	_ = watching.Wait()
}

// signal sends a signal to the task's process while there is one.
func (k *keeper) signal(sig syscall.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return fmt.Errorf("send signal: the task has ended")
	}
	if err := k.signalTask(sig); err != nil {
		return fmt.Errorf("send signal: %w", err)
	}
	return nil
}

// stop asks the task to end, ends it after the timeout, and returns when it
// has ended. It is idempotent.
func (k *keeper) stop(sig syscall.Signal, timeout time.Duration) error {
	if timeout > 0 {
		_ = k.signal(sig) // one that has ended needs none
		timer := k.clock.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-k.ended:
			return nil
		case <-timer.C():
		}
	}
	_ = k.signal(syscall.SIGKILL)
	timer := k.clock.NewTimer(2 * killPatience)
	defer timer.Stop()
	select {
	case <-k.ended:
		return nil
	case <-timer.C():
		return fmt.Errorf("the task's process %d doesn't end although it was killed", k.task.PID)
	}
}

// exec runs a command beside the task.
func (k *keeper) exec(conn *net.UnixConn, req *Request, files []*os.File) {
	if len(files) != 3 || len(req.Command) == 0 {
		reply(conn, Response{Error: "exec needs a command and three descriptors"})
		return
	}
	start := k.startCommand
	if k.spec.Box != nil {
		start = k.startInBox
	}
	pid, done, err := start(req, files)
	for _, f := range files {
		_ = f.Close()
	}
	if err != nil {
		reply(conn, Response{Error: err.Error(), NotFound: isNotFound(err)})
		return
	}
	reply(conn, Response{})
	left := make(chan struct{})
	watching := loop.New(context.Background())
	watching.Go("caller", func(context.Context) error {
		_, _ = conn.Read(make([]byte, 1))
		close(left)
		return nil
	})
	var status syscall.WaitStatus
	select {
	case status = <-done:
	case <-left:
		// The command leads a session of its own: all of it goes.
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		status = <-done
	}
	_ = conn.CloseRead()
	_ = watching.Wait()
	exit := exitOf(status, k.clock.Now())
	reply(conn, Response{Exit: &exit})
}

func (k *keeper) startCommand(req *Request, files []*os.File) (int, <-chan syscall.WaitStatus, error) {
	// The lock keeps the task from ending unseen: what starts after its end
	// would be killed by nobody.
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return 0, nil, fmt.Errorf("run %s: the task has ended", req.Command[0])
	}
	attr := k.attributes()
	attr.Setsid = true
	attr.Setctty = req.TTY
	var pid int
	var done <-chan syscall.WaitStatus
	err := k.besideTask(func() (err error) {
		pid, done, err = k.children.fork(req.Path, req.Command, &syscall.ProcAttr{
			Dir: k.spec.Dir, Env: k.spec.Env, Sys: attr,
			Files: []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
		})
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("run %s: %w", req.Command[0], err)
	}
	return pid, done, nil
}

// besideTask calls f in a thread that is where the task is: in its network and
// its version 1 cgroups, which belong to threads.
func (k *keeper) besideTask(f func() error) error {
	if k.spec.Network == "" && len(k.spec.LegacyCgroups) == 0 {
		return f()
	}
	apart := loop.New(context.Background())
	apart.Go("command", func(context.Context) error {
		runtime.LockOSThread() // never unlocked: the thread ends with this function
		if err := k.enter(); err != nil {
			return err
		}
		return f()
	})
	return apart.Wait()
}
