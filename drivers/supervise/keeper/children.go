//go:build linux

package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/steppe-run/steppe/internal/loop"
)

// children starts processes and reaps them, and also those that orphans of
// the task leave to us.
type children struct {
	// mu is held over a fork, so that an end is never seen before its start
	// is known.
	mu    sync.Mutex
	known map[int]chan syscall.WaitStatus
	group *loop.Group
}

func newChildren() *children {
	return &children{known: map[int]chan syscall.WaitStatus{}, group: loop.New(context.Background())}
}

// fork starts a process; the channel delivers how it ended.
func (c *children) fork(path string, args []string, attr *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return 0, nil, err
	}
	done := make(chan syscall.WaitStatus, 1)
	c.known[pid] = done
	return pid, done, nil
}

// reapFrom reaps from now on, whenever the kernel tells that a child ended.
func (c *children) reapFrom() error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGCHLD)
	if err := c.reap(); err != nil {
		return err
	}
	c.group.Go("reap", func(ctx context.Context) error {
		for {
			select {
			case <-told:
				if err := c.reap(); err != nil {
					return err
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	return nil
}

// any reaps what has ended and reports whether a child is left.
func (c *children) any() bool {
	left, err := c.reapAll()
	return left || err != nil
}

// reap takes every child that has ended.
func (c *children) reap() error {
	_, err := c.reapAll()
	return err
}

func (c *children) reapAll() (left bool, err error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("wait for children: %w", err)
		case pid == 0:
			return true, nil
		}
		c.mu.Lock()
		done, ok := c.known[pid]
		delete(c.known, pid)
		c.mu.Unlock()
		if ok {
			done <- status
		}
	}
}
