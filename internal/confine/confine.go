//go:build linux

// Package confine takes rights away from a process for good: files by
// Landlock, system calls by seccomp, capabilities, resource limits, and the
// gain of new privileges. Self confines the program that calls it; the other
// functions are the single steps, for who starts somebody else's program.
//
// It must not know what for: no task, no driver, no template. Each step works
// on the calling thread only, so the thread is locked and then replaced by
// execve, which takes its rights over to the whole new program. Begin reading
// at Self.
package confine

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// mark is in the environment of a program that Self has executed again.
const mark = "STEPPE_CONFINED"

// Rules say what a program may still do. Every path is a file, or a folder with
// all below it; one that doesn't exist is left out. The zero value allows
// nothing but computing, the streams it has, and network.
type Rules struct {
	// Read may be read.
	Read []string
	// Execute may be read and executed.
	Execute []string
	// Write may be read, written, made and removed: files, folders and links,
	// neither devices nor sockets nor FIFOs.
	Write []string
	// NoNetwork forbids all sockets. Without it there are those of IPv4 and IPv6.
	NoNetwork bool
	// NoExec forbids running other programs.
	NoExec bool
	// MaxFileBytes bounds each file that is written; writing more fails.
	MaxFileBytes uint64
	// MaxMemoryBytes bounds what the process may allocate; it ends when it
	// takes more. Go itself needs about 150 MiB of it before it uses any.
	MaxMemoryBytes uint64
	// CPUSeconds bounds its time of computing; it is killed after that.
	CPUSeconds uint64
	// MaxOpenFiles bounds its descriptors.
	MaxOpenFiles uint64
}

// Self confines this program. It works by executing the program again, so call
// it first of all, before anything was read from standard input: it returns in
// the second run only. An error means that nothing holds; end then.
//
// On a kernel without Landlock paths aren't confined, and all else is: ask
// LandlockVersion where that matters.
func Self(r Rules) error {
	if os.Getenv(mark) != "" {
		return r.again()
	}
	// Never unlocked: this thread is replaced, or it must not be used any more.
	runtime.LockOSThread()
	if err := r.apply(); err != nil {
		return fmt.Errorf("confine process: %w", err)
	}
	// The program is executed as it is, also if its file was replaced meanwhile.
	err := syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), mark+"=1"))
	return fmt.Errorf("confine process: execute it again: %w", err)
}

// again does what can't be done before the program is executed.
func (r *Rules) again() error {
	if err := os.Unsetenv(mark); err != nil {
		return fmt.Errorf("confine process: %w", err)
	}
	// Then a file that grows too large is an error and not an end.
	signal.Ignore(syscall.SIGXFSZ)
	if !r.NoExec {
		return nil
	}
	filter := Filter{Otherwise: Allow, Rules: []Rule{
		{Call: unix.SYS_EXECVE, Then: Fail(syscall.EPERM)}, {Call: unix.SYS_EXECVEAT, Then: Fail(syscall.EPERM)},
	}}
	return filter.load(unix.SECCOMP_FILTER_FLAG_TSYNC)
}

func (r *Rules) apply() error {
	if err := r.limit(); err != nil {
		return err
	}
	if err := Bound(0); err != nil && !errors.Is(err, unix.EPERM) {
		return err // without privileges there is nothing to bound
	}
	if err := NoNewPrivileges(); err != nil {
		return err
	}
	if err := r.fence(); err != nil {
		return err
	}
	if err := Hold(0); err != nil {
		return err
	}
	sockets := inetSockets(false)
	if r.NoNetwork {
		sockets = nil
	}
	filter := calls(0, sockets)
	return filter.Load()
}

func (r *Rules) limit() error {
	for _, l := range []struct {
		resource int
		most     uint64
	}{
		{syscall.RLIMIT_FSIZE, r.MaxFileBytes}, {syscall.RLIMIT_DATA, r.MaxMemoryBytes},
		{syscall.RLIMIT_CPU, r.CPUSeconds}, {syscall.RLIMIT_NOFILE, r.MaxOpenFiles},
	} {
		if l.most == 0 {
			continue
		}
		if err := Limit(l.resource, l.most); err != nil {
			return err
		}
	}
	return Limit(syscall.RLIMIT_CORE, 0)
}

// fence gives the paths, and what any program needs to be started.
func (r *Rules) fence() error {
	grants := []Grant{
		{"/dev/null", readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE}, {"/dev/zero", readRights}, {"/dev/urandom", readRights},
		{"/etc/ld.so.cache", readRights}, {"/proc/self/exe", readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE},
	}
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64"} {
		grants = append(grants, Grant{dir, readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE})
	}
	for _, path := range r.Read {
		grants = append(grants, Grant{path, readRights})
	}
	for _, path := range r.Execute {
		grants = append(grants, Grant{path, readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE})
	}
	for _, path := range r.Write {
		grants = append(grants, Grant{path, readRights | writeRights})
	}
	return Fence(grants, unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET|unix.LANDLOCK_SCOPE_SIGNAL)
}

// Limit bounds a resource of the process, as high as it may be set at most.
func Limit(resource int, most uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return fmt.Errorf("read resource limit %d: %w", resource, err)
	}
	most = min(most, now.Max)
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		return fmt.Errorf("set resource limit %d: %w", resource, err)
	}
	return nil
}

// NoNewPrivileges makes set-user-ID bits and file capabilities mean nothing to
// this thread and all that it executes.
func NoNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	return nil
}
