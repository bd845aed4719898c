//go:build linux

package box

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/confine"
)

// maxOrder bounds what is read as an order.
const maxOrder = 16 << 20

// Main is the whole stage; it returns only if it fails.
func Main() int {
	// Rights belong to a thread; this one becomes the task's.
	runtime.LockOSThread()
	err := enter()
	report := Report{Error: err.Error(), NotFound: isNotFound(err)}
	data, _ := json.Marshal(report) // it holds nothing that can't be encoded
	_, _ = unix.Write(ReportFD, data)
	return 1
}

// missingError says that the task's program can't be run.
type missingError struct{ text string }

func (e *missingError) Error() string { return e.text }

func isNotFound(err error) bool {
	var missing *missingError
	return errors.As(err, &missing)
}

// enter goes all the way to the task's program; it returns only why it can't.
func enter() error {
	// While this is still the supervisor's program, nobody may look into it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide from the task: %w", err)
	}
	parent := os.Getppid()
	order, err := readOrder()
	if err != nil {
		return err
	}
	if order.Build != nil {
		err = build(order.Build)
	} else {
		err = join(order.Join)
	}
	if err != nil {
		return err
	}
	if order.Silent {
		if err := silence(); err != nil {
			return err
		}
	}
	return order.become(parent)
}

func readOrder() (*Order, error) {
	data, err := io.ReadAll(io.LimitReader(rawReader(OrderFD), maxOrder))
	if err != nil {
		return nil, fmt.Errorf("read what to run: %w", err)
	}
	var order Order
	if err := json.Unmarshal(data, &order); err != nil {
		return nil, fmt.Errorf("read what to run: %w", err)
	}
	if len(order.Command) == 0 {
		return nil, errors.New("read what to run: nothing")
	}
	return &order, nil
}

// rawReader reads a descriptor without the poller, whose descriptors and
// threads nobody needs here.
type rawReader int

// Read implements io.Reader.
func (r rawReader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(r), p)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// join enters the namespaces of a box that is there.
func join(kinds []int) error {
	// A thread that shares its root with others may not change it.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the machine's root: %w", err)
	}
	for i, kind := range kinds {
		if err := unix.Setns(FirstFD+i, kind); err != nil {
			return fmt.Errorf("enter namespace %#x: %w", kind, err)
		}
	}
	return nil
}

// silence makes the box's own null device the standard input: the machine's
// would be a file of the machine.
func silence() error {
	fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	if err := unix.Dup3(fd, 0, 0); err != nil {
		return fmt.Errorf("silence standard input: %w", err)
	}
	return unix.Close(fd)
}

// become takes the rights away and executes the program.
func (o *Order) become(parent int) error {
	if err := confine.Limit(syscall.RLIMIT_CORE, 0); err != nil {
		return err
	}
	if err := o.Rights.take(); err != nil {
		return err
	}
	if o.Mortal {
		// Set here, as a change of user takes it away.
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return fmt.Errorf("bind the task to its supervisor: %w", err)
		}
		if os.Getppid() != parent {
			return errors.New("the task's supervisor has ended")
		}
	}
	unix.Umask(0o022)
	if err := o.changeDir(); err != nil {
		return err
	}
	path, err := o.lookup()
	if err != nil {
		return err
	}
	// ReportFD goes the same way: that it closes says that the program runs.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	if err := confine.NoDevices(o.Rights.Scope); err != nil {
		return err
	}
	filter := confine.Program(o.Rights.Caps)
	if err := filter.Load(); err != nil {
		return err
	}
	err = syscall.Exec(path, o.Command, o.Env)
	return &missingError{fmt.Sprintf("command %q can't be executed: %v", o.Command[0], err)}
}

// take leaves the thread with these rights.
func (r *Rights) take() error {
	if err := confine.Bound(r.Caps); err != nil {
		return err
	}
	if err := confine.OnlyByName(); err != nil {
		return err
	}
	if err := confine.Become(r.UID, r.GID); err != nil {
		return err
	}
	if err := confine.Hold(r.Caps); err != nil {
		return err
	}
	return confine.NoNewPrivileges()
}

// changeDir enters the task's folder, with the task's rights, and looks that it
// lies in the box.
func (o *Order) changeDir() error {
	if err := unix.Chdir(o.Dir); err != nil {
		return &missingError{fmt.Sprintf("work_dir %q can't be entered: %v", o.Dir, err)}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buf)
	if err != nil {
		return fmt.Errorf("look where the task begins: %w", err)
	}
	if n == 0 || buf[0] != '/' {
		return fmt.Errorf("work_dir %q lies outside of the sandbox", o.Dir)
	}
	return nil
}

// lookup finds the program in the box.
func (o *Order) lookup() (string, error) {
	command := o.Command[0]
	if strings.ContainsRune(command, '/') {
		return command, executable(command, command)
	}
	for _, dir := range o.Search {
		path := filepath.Join(dir, command)
		if executable(command, path) == nil {
			return path, nil
		}
	}
	return "", &missingError{fmt.Sprintf("command %q is not found in the sandbox, in %s: check the spelling, or give a path", command, strings.Join(o.Search, ", "))}
}

// executable says why the file at path can't be run.
func executable(command, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &missingError{fmt.Sprintf("command %q does not exist in the sandbox: check the path, and that chroot_env shows it", command)}
	case err != nil:
		return &missingError{fmt.Sprintf("command %q: %v", command, err)}
	case info.IsDir():
		return &missingError{fmt.Sprintf("command %q is a directory", command)}
	case info.Mode()&0o111 == 0:
		return &missingError{fmt.Sprintf("command %q is not executable: chmod +x it", command)}
	}
	return nil
}
