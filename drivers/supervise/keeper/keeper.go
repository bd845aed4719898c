//go:build linux

package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/process"
)

// keeper is one supervisor's state.
type keeper struct {
	spec     *Spec
	clock    clock.Clock
	self     process.Identity
	task     process.Identity
	started  time.Time
	listener *net.UnixListener
	children *children
	tree     *tree
	output   *output
	// process holds the process of a task in a box: its number there is another.
	process *os.File
	// box is where further commands enter the task's sandbox.
	box *door
	// main delivers how the task's process ended.
	main <-chan syscall.WaitStatus
	// ended is closed when the exit status is recorded.
	ended chan struct{}

	mu sync.Mutex
	// over is set when the task's process has ended: nothing new may start.
	over bool
	exit *Exit
}

// bringUp starts the task in the current directory.
func bringUp(spec *Spec) (*keeper, error) {
	k := &keeper{spec: spec, clock: clock.Real{}, children: newChildren(), ended: make(chan struct{})}
	var err error
	if k.self, err = process.Self(); err != nil {
		return nil, err
	}
	if k.output, err = openOutput(spec); err != nil {
		return nil, err
	}
	if k.tree, err = newTree(spec, k.children); err != nil {
		return nil, err
	}
	failpoint.Here(failpoint.KeeperCgroup)
	if k.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: SocketName, Net: "unix"}); err != nil {
		k.tree.remove()
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := k.begin(); err != nil {
		// Nobody will know of the task: neither it nor what it has started stays.
		k.tree.kill()
		k.tree.remove()
		_ = k.listener.Close()
		return nil, err
	}
	return k, nil
}

// begin starts the task and makes it findable.
func (k *keeper) begin() error {
	if err := k.startTask(); err != nil {
		return err
	}
	failpoint.Here(failpoint.KeeperForked)
	if err := k.writeState(); err != nil {
		return err
	}
	failpoint.Here(failpoint.KeeperWritten)
	return k.children.reapFrom()
}

// startTask forks the task's process from this thread, which is in the task's
// namespace and version 1 cgroups from here on.
func (k *keeper) startTask() error {
	if err := k.enter(); err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer func() { _ = null.Close() }()
	attr := k.attributes()
	attr.Setsid = true
	attr.Pdeathsig = syscall.SIGKILL
	k.started = k.clock.Now()
	if k.spec.Box != nil {
		return k.startBox(attr)
	}
	pid, done, err := k.children.fork(k.spec.Path, k.spec.Args, &syscall.ProcAttr{
		Dir: k.spec.Dir, Env: k.spec.Env, Sys: attr,
		Files: []uintptr{null.Fd(), k.output.stdout.Fd(), k.output.stderr.Fd()},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", k.spec.Path, err)
	}
	k.main = done
	k.output.started()
	if k.spec.OOMScoreAdj != 0 {
		_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(strconv.Itoa(k.spec.OOMScoreAdj)), 0)
	}
	// Until it is waited for, even an ended process keeps its identity.
	k.task, err = process.Of(pid)
	return err
}

// attributes are those of every process of the task.
func (k *keeper) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	if u := k.spec.User; u != nil {
		attr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	if fd, ok := k.tree.fd(); ok {
		attr.UseCgroupFD, attr.CgroupFD = true, fd
	}
	return attr
}

// enter brings this thread into the task's network and version 1 cgroups.
func (k *keeper) enter() error {
	if err := k.enterNetwork(); err != nil {
		return err
	}
	for _, dir := range k.spec.LegacyCgroups {
		if err := os.WriteFile(dir+"/tasks", []byte(strconv.Itoa(unix.Gettid())), 0); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

func (k *keeper) enterNetwork() error {
	if k.spec.Network == "" {
		return nil
	}
	f, err := os.Open(k.spec.Network)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	return nil
}

func (k *keeper) status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	var groups []string
	for _, g := range k.spec.Groups {
		groups = append(groups, g.Dir)
	}
	return Status{
		Groups: groups, Version: Version, Supervisor: k.self, Task: k.task, StartedAt: k.started,
		Cgroup: k.spec.Cgroup, Owned: k.spec.Cgroup != "" && !k.spec.CgroupForeign, Exit: k.exit,
	}
}

func (k *keeper) writeState() error { return replace(StateName, k.status()) }

func exitOf(status syscall.WaitStatus, at time.Time) Exit {
	if status.Signaled() {
		// The shells' convention, so that a code alone tells of the signal.
		return Exit{Code: 128 + int(status.Signal()), Signal: int(status.Signal()), At: at}
	}
	return Exit{Code: status.ExitStatus(), At: at}
}

func isNotFound(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOEXEC) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR)
}

// namePointer is a C string for prctl.
func namePointer(name string) uintptr {
	b := append([]byte(name), 0)
	return uintptr(unsafe.Pointer(&b[0]))
}
