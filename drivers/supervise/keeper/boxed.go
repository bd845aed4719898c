//go:build linux

package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers/supervise/keeper/box"
	"github.com/steppe-run/steppe/internal/process"
)

// boxTimeout bounds how long it may take to make a box or to enter one.
const boxTimeout = 20 * time.Second

// maxReport bounds what a stage may say.
const maxReport = 64 << 10

// door is how further commands enter the task's box.
type door struct {
	kinds []int
	files []*os.File
}

// missingError says that the task's program isn't in its box.
type missingError struct{ text string }

func (e *missingError) Error() string { return e.text }

// Is makes it known as what it is.
func (e *missingError) Is(target error) bool { return target == os.ErrNotExist }

// guard keeps a task from looking into its supervisor, which it may share
// namespaces with.
func guard(spec *Spec) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide from the task: %w", err)
	}
	if spec.Box.PID && os.Getpid() != 1 {
		return errors.New("the supervisor isn't the first process of a PID namespace")
	}
	// Root in the box may signal us. All signals are caught and dropped: only
	// those that can't be caught never reach the first process of a namespace.
	signal.Notify(make(chan os.Signal, 1))
	return nil
}

// startBox starts the task in a new box.
func (k *keeper) startBox(attr *syscall.SysProcAttr) error {
	b := k.spec.Box
	attr.Cloneflags = b.Namespaces()
	order := box.Order{
		Build: b, Command: k.spec.Args, Env: k.spec.Env, Dir: k.spec.Dir, Search: b.Search, Rights: b.Rights, Silent: true, Mortal: !b.PID,
	}
	out := []uintptr{k.output.stdout.Fd(), k.output.stdout.Fd(), k.output.stderr.Fd()}
	s, err := k.forkStage(attr, out, nil)
	if err != nil {
		return err
	}
	k.output.started()
	k.main = s.done
	if err := s.run(k, &order); err != nil {
		return err
	}
	if k.task, err = process.Behind(int(s.pidfd.Fd())); err != nil {
		return err
	}
	k.process = s.pidfd
	if k.spec.OOMScoreAdj != 0 {
		_ = os.WriteFile("/proc/"+strconv.Itoa(k.task.PID)+"/oom_score_adj", []byte(strconv.Itoa(k.spec.OOMScoreAdj)), 0)
	}
	return k.openDoor()
}

// openDoor keeps the namespaces of the task, which it can't leave any more.
func (k *keeper) openDoor() error {
	kinds := map[string]int{"net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP, "mnt": unix.CLONE_NEWNS}
	k.box = &door{}
	// The mounts come last: from there on paths are those of the box.
	for _, name := range []string{"net", "ipc", "uts", "cgroup", "mnt"} {
		f, err := os.Open("/proc/" + strconv.Itoa(k.task.PID) + "/ns/" + name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			k.box = nil // it has ended already
			return nil
		}
		if err != nil {
			return fmt.Errorf("keep the task's namespaces: %w", err)
		}
		k.box.kinds, k.box.files = append(k.box.kinds, kinds[name]), append(k.box.files, f)
	}
	return nil
}

// startInBox starts a command in the task's box.
func (k *keeper) startInBox(req *Request, files []*os.File) (int, <-chan syscall.WaitStatus, error) {
	s, err := k.enterBox(req, files)
	if err != nil {
		return 0, nil, err
	}
	order := box.Order{Join: k.box.kinds, Command: req.Command, Env: k.spec.Env, Dir: k.spec.Dir, Search: k.spec.Box.Search, Rights: k.spec.Box.Rights}
	defer func() { _ = s.pidfd.Close() }()
	if err := s.run(k, &order); err != nil {
		return 0, nil, err
	}
	return s.pid, s.done, nil
}

// enterBox forks the stage. From then on it ends with the task.
func (k *keeper) enterBox(req *Request, files []*os.File) (*stage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over || k.box == nil {
		return nil, fmt.Errorf("run %s: the task has ended", req.Command[0])
	}
	attr := k.attributes()
	attr.Setsid, attr.Setctty = true, req.TTY
	return k.forkStage(attr, []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()}, k.box.files)
}

// stage is a process between us and a program in a box.
type stage struct {
	pid    int
	pidfd  *os.File
	done   <-chan syscall.WaitStatus
	order  *os.File
	report *os.File
}

// forkStage forks our own program as a stage that waits for its order.
func (k *keeper) forkStage(attr *syscall.SysProcAttr, streams []uintptr, more []*os.File) (*stage, error) {
	orderRead, orderWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer func() { _ = orderRead.Close() }()
	reportRead, reportWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make pipe: %w", err), orderWrite.Close())
	}
	defer func() { _ = reportWrite.Close() }()
	fds := append(streams, orderRead.Fd(), reportWrite.Fd())
	for _, f := range more {
		fds = append(fds, f.Fd())
	}
	pidfd := -1
	attr.PidFD, attr.Credential, attr.Pdeathsig = &pidfd, nil, 0
	pid, done, err := k.children.fork("/proc/self/exe", append(ownArgs(), box.Arg), &syscall.ProcAttr{
		Env: []string{"GOMAXPROCS=1", "GOTRACEBACK=none", "GOGC=off"}, Sys: attr, Files: fds,
	})
	if err != nil {
		_, _ = orderWrite.Close(), reportRead.Close()
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	return &stage{pid: pid, pidfd: os.NewFile(uintptr(pidfd), "task"), done: done, order: orderWrite, report: reportRead}, nil
}

// ownArgs are our own arguments up to those of Main.
func ownArgs() []string { return append([]string(nil), os.Args[:max(1, len(os.Args)-1)]...) }

// run tells the stage what to do, and returns when the program runs.
func (s *stage) run(k *keeper, order *box.Order) (err error) {
	defer func() {
		_, _ = s.order.Close(), s.report.Close()
		if err != nil {
			_ = unix.PidfdSendSignal(int(s.pidfd.Fd()), unix.SIGKILL, nil, 0) // often gone
		}
	}()
	if err := k.tree.admit(s.pid); err != nil {
		return err
	}
	deadline := k.clock.Now().Add(boxTimeout)
	_, _ = s.order.SetWriteDeadline(deadline), s.report.SetReadDeadline(deadline)
	data, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	if _, err := s.order.Write(data); err != nil {
		return fmt.Errorf("tell sandbox what to run: %w", err)
	}
	if err := s.order.Close(); err != nil {
		return fmt.Errorf("tell sandbox what to run: %w", err)
	}
	said, err := io.ReadAll(io.LimitReader(s.report, maxReport))
	if err != nil {
		return fmt.Errorf("wait for sandbox: %w", err)
	}
	if len(said) == 0 {
		return nil
	}
	var report box.Report
	if err := json.Unmarshal(said, &report); err != nil {
		return fmt.Errorf("make sandbox: %q", said)
	}
	if report.NotFound {
		return &missingError{report.Error}
	}
	return fmt.Errorf("make sandbox: %s", report.Error)
}

// signalTask sends a signal to the task's process. The caller holds mu.
func (k *keeper) signalTask(sig syscall.Signal) error {
	if k.process == nil {
		return k.task.Signal(sig)
	}
	return unix.PidfdSendSignal(int(k.process.Fd()), sig, nil, 0)
}
