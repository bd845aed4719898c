//go:build linux

// Package process names processes so that they can't be mistaken: a process
// number alone is reused, a number with its start time and the machine's boot
// is not.
//
// It must not know any noun of the field. Begin reading at Identity.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrGone says that a process has ended, or that its number now names another.
var ErrGone = errors.New("process is gone")

// Identity is one process for all time.
type Identity struct {
	PID int `json:"pid"`
	// Start is when it started, in clock ticks since boot.
	Start uint64 `json:"start"`
	// Boot is the boot the ticks count from.
	Boot string `json:"boot"`
}

// Of returns the identity of a process that runs now, or ErrGone.
func Of(pid int) (Identity, error) {
	start, _, err := stat(pid)
	if err != nil {
		return Identity{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, fmt.Errorf("read boot id: %w", err)
	}
	return Identity{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// Self is this process. In a PID namespace its own number is another than the
// one under which /proc, and so everybody else, knows it.
func Self() (Identity, error) {
	text, err := os.Readlink("/proc/self")
	if err != nil {
		return Identity{}, fmt.Errorf("read own number: %w", err)
	}
	pid, err := strconv.Atoi(text)
	if err != nil {
		return Identity{}, fmt.Errorf("read own number %q: %w", text, err)
	}
	return Of(pid)
}

// Behind returns the identity of the process that a descriptor (of pidfd_open)
// holds, whatever its number is here.
func Behind(pidfd int) (Identity, error) {
	data, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(pidfd))
	if err != nil {
		return Identity{}, fmt.Errorf("read process number: %w", err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		text, ok := strings.CutPrefix(line, "Pid:")
		if !ok {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || pid <= 0 {
			return Identity{}, ErrGone
		}
		return Of(pid)
	}
	return Identity{}, errors.New("read process number: the descriptor holds no process")
}

// Alive reports whether the process still runs. A zombie doesn't.
func (id Identity) Alive() bool {
	start, state, err := stat(id.PID)
	if err != nil || start != id.Start || state == 'Z' || state == 'X' {
		return false
	}
	now, err := Of(id.PID)
	return err == nil && now == id
}

// Signal sends a signal to exactly this process, or returns ErrGone.
func (id Identity) Signal(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			return ErrGone
		}
		// A kernel without pidfds: the window between check and kill stays.
		if !id.Alive() {
			return ErrGone
		}
		return gone(syscall.Kill(id.PID, sig))
	}
	defer func() { _ = unix.Close(fd) }()
	// The descriptor holds the process: if it is the right one now, it stays so.
	if !id.Alive() {
		return ErrGone
	}
	return gone(unix.PidfdSendSignal(fd, sig, nil, 0))
}

func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// stat reads a process' start time and state.
func stat(pid int) (start uint64, state byte, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return 0, 0, ErrGone
		}
		return 0, 0, fmt.Errorf("read process state: %w", err)
	}
	// The name, in parentheses, may hold anything: fields count from its end.
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("read process state of %d: unexpected form", pid)
	}
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("read process state of %d: unexpected form", pid)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("read start time of process %d: %w", pid, err)
	}
	return start, fields[0][0], nil
}
