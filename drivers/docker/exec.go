//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
)

// Exec implements drivers.Commander.
func (d *Driver) Exec(ctx context.Context, taskID string, command []string, timeout time.Duration) (*drivers.ExecResult, error) {
	return drivers.Collect(ctx, command, timeout, func(ctx context.Context, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
		return d.ExecStreaming(ctx, taskID, req)
	})
}

// ExecStreaming implements drivers.Commander.
func (d *Driver) ExecStreaming(ctx context.Context, taskID string, req *drivers.ExecRequest) (*drivers.ExitResult, error) {
	t, engine, err := d.find(taskID)
	if err != nil {
		return nil, err
	}
	if len(req.Command) == 0 {
		return nil, errors.New("exec: the command is empty")
	}
	made, err := engine.ExecCreate(ctx, t.state.Container, client.ExecCreateOptions{
		Cmd: req.Command, TTY: req.TTY, AttachStdin: req.Stdin != nil, AttachStdout: true, AttachStderr: !req.TTY,
	})
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	conn, err := engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: req.TTY})
	if err != nil {
		return nil, fmt.Errorf("exec: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	helpers := loop.New(ctx)
	if req.Stdin != nil {
		helpers.Go("stdin", func(context.Context) error {
			_, _ = io.Copy(conn.Conn, req.Stdin) // a command needn't read its input
			return ignoreClosed(conn.CloseWrite())
		})
	}
	if req.TTY && req.Resize != nil {
		helpers.Go("resize", func(ctx context.Context) error { d.resize(ctx, engine, made.ID, req.Resize); return nil })
	}
	copyOutput(&conn.HijackedResponse, req)
	if closer, ok := req.Stdin.(io.Closer); ok {
		_ = closer.Close()
	}
	helpers.Stop()
	_ = helpers.Wait() // its functions return nil only
	if ctx.Err() != nil {
		d.killExec(engine, made.ID)
		return nil, ctx.Err()
	}
	return d.execExit(ctx, engine, made.ID)
}

// ignoreClosed drops the error of closing what the other side has closed.
func ignoreClosed(error) error { return nil }

// copyOutput hands out what the command prints, to its end.
func copyOutput(conn *client.HijackedResponse, req *drivers.ExecRequest) {
	stdout, stderr := req.Stdout, req.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	// How it ended is asked for afterwards; a broken stream ends it too.
	if req.TTY {
		_, _ = io.Copy(stdout, conn.Reader)
		return
	}
	_, _ = stdcopy.StdCopy(stdout, stderr, conn.Reader)
}

func (d *Driver) resize(ctx context.Context, engine *client.Client, id string, sizes <-chan drivers.TerminalSize) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			// Right after the start the engine may not know the terminal yet.
			for range 10 {
				_, err := engine.ExecResize(ctx, id, client.ExecResizeOptions{Height: uint(size.Height), Width: uint(size.Width)})
				if err == nil || ctx.Err() != nil {
					break
				}
				pause(ctx, d.clock, 50*time.Millisecond)
			}
		}
	}
}

// execExit asks how the command ended; the engine notes it a moment after the
// streams have closed.
func (d *Driver) execExit(ctx context.Context, engine *client.Client, id string) (*drivers.ExitResult, error) {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	for {
		r, err := engine.ExecInspect(ctx, id, client.ExecInspectOptions{})
		if err != nil {
			return nil, fmt.Errorf("exec: %w", err)
		}
		if !r.Running {
			return &drivers.ExitResult{ExitCode: r.ExitCode}, nil
		}
		pause(ctx, d.clock, 20*time.Millisecond)
	}
}

// killExec ends a command whose caller left. The engine has no word for that,
// but its process is one of this machine's when the engine is.
func (d *Driver) killExec(engine *client.Client, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), quick)
	defer cancel()
	r, err := engine.ExecInspect(ctx, id, client.ExecInspectOptions{})
	if err != nil || !r.Running || r.PID <= 1 || !d.isLocal() {
		return
	}
	_ = syscall.Kill(r.PID, syscall.SIGKILL) // it may be gone
}

func (d *Driver) isLocal() bool {
	engine, _, err := d.api()
	return err == nil && strings.HasPrefix(engine.DaemonHost(), "unix://")
}

// sharesMounts reports whether the engine lives on this machine and sees what
// this process mounts.
func (d *Driver) sharesMounts(engine *client.Client) bool {
	path, local := strings.CutPrefix(engine.DaemonHost(), "unix://")
	if !local || os.Geteuid() != 0 {
		return false
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	if err := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || peer == nil || peer.Uid != 0 {
		return false
	}
	own, err1 := os.Readlink("/proc/self/ns/mnt")
	theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", peer.Pid))
	return err1 == nil && err2 == nil && own == theirs
}
