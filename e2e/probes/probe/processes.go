//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var zeroTime = time.Unix(1, 0)

// agent is a process of the machine, by its number there.
func agent() int {
	pid, _ := strconv.Atoi(os.Getenv("AGENT"))
	return pid
}

// processes are the tries on other processes and on the kernel's calls.
func processes() []probe {
	pid := strconv.Itoa(agent())
	peek := func(pid string) []func() error {
		return []func() error{open("/proc/" + pid + "/root/etc"), open("/proc/" + pid + "/mem"), read("/proc/" + pid + "/environ"), listed("/proc/" + pid + "/fd"), read("/proc/" + pid + "/maps"), read("/proc/" + pid + "/cmdline")}
	}
	return []probe{
		{"E13 overwrite the supervisor's program", anyOf(write("/proc/1/exe", "x"), func() error { _, err := os.Readlink("/proc/1/exe"); return err })},
		{"E14 look into the supervisor and the agent", anyOf(append(peek("1"), peek(pid)...)...)},
		{"E15 see processes of the machine", seeOthers}, {"E16 signal processes of the machine", signalOthers},
		{"E17 trace", anyOf(func() error { return unix.PtraceAttach(1) }, func() error { return unix.PtraceAttach(agent()) }, func() error { return unix.PtraceSeize(os.Getppid()) })},
		{"E18 read memory of others", func() error {
			buf := make([]byte, 8)
			_, err := unix.ProcessVMReadv(1, []unix.Iovec{{Base: &buf[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
			return err
		}},
		{"E19 take descriptors of others", func() error {
			fd, err := unix.PidfdOpen(1, 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 0, 0)
			return err
		}},
		{"E28 bpf", call(unix.SYS_BPF, 0, here(strings.Repeat("\x01", 128)), 128)}, {"E29 perf_event_open", perf},
		{"E30 userfaultfd", anyOf(call(unix.SYS_USERFAULTFD, 1), open("/dev/userfaultfd"))},
		{"E31 io_uring", call(unix.SYS_IO_URING_SETUP, 1, here(strings.Repeat("\x00", 256)))},
		{"E32 kernel keys", anyOf(call(unix.SYS_KEYCTL, 0, ^uintptr(2), 1), call(unix.SYS_ADD_KEY, here("user"), here("x"), here("x"), 1, ^uintptr(2)))},
		{"E33 unshare", anyOf(unshare(unix.CLONE_NEWUSER), unshare(unix.CLONE_NEWNET), unshare(unix.CLONE_NEWNS), unshare(unix.CLONE_NEWPID), unshare(unix.CLONE_NEWCGROUP), unshare(unix.CLONE_NEWIPC))},
		{"E34 clone into namespaces", anyOf(clone3(unix.CLONE_NEWUSER), clone3(unix.CLONE_NEWNS), func() error {
			cmd := exec.Command("/proc/self/exe", "none")
			cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET}
			return cmd.Run()
		})},
		{"E35 setns", anyOf(enterByName, enterByPidfd)},
		{"E38 gain privileges by execve", func() error {
			n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
			if err == nil && n == 0 {
				return nil
			}
			return errRefused
		}},
	}
}

func seeOthers() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n == os.Getpid() || n == os.Getppid() {
			continue
		}
		if cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline"); strings.Contains(string(cmdline), "test") {
			return nil
		}
	}
	return errRefused
}

// signalOthers tries on the supervisor too: to root in the sandbox it is one of its
// own, whom nothing must end. Who runs us looks whether it is there.
func signalOthers() error {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP, unix.SIGTERM, unix.SIGUSR1, unix.SIGABRT, unix.SIGSEGV, unix.SIGBUS, unix.SIGQUIT, unix.SIGSYS, unix.SIGPROF} {
		_ = unix.Kill(1, sig)
	}
	return unix.Kill(agent(), 0)
}

func enterByName() error {
	for _, ns := range []string{"mnt", "net", "pid", "ipc", "uts"} {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/%s", agent(), ns), unix.O_RDONLY, 0)
		if err == nil && unix.Setns(fd, 0) == nil {
			return nil
		}
	}
	return errRefused
}

func enterByPidfd() error {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWNS)
}

func unshare(flags int) func() error {
	return func() error {
		done := make(chan error)
		go func() { // a thread of its own, that ends with it
			runtime.LockOSThread()
			done <- unix.Unshare(flags)
		}()
		return <-done
	}
}

func clone3(flags uint64) func() error {
	return func() error {
		args := [11]uint64{flags, 0, 0, 0, uint64(unix.SIGCHLD)}
		pid, _, errno := unix.RawSyscall(435, uintptr(unsafe.Pointer(&args)), 88, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) // it doesn't return
		}
		return nil
	}
}

func perf() error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, 0)
	return errors.Join(err, unix.Close(fd))
}
