//go:build linux

// Package box makes the sandbox that a task runs in, and enters one that was
// made. It is a stage between supervisor and task: the supervisor's program,
// forked into new namespaces, builds a root of its own, takes every right away
// from itself and becomes the task's program.
//
// Whatever lies below a task's folders may have been put there by the task, so
// nothing is reached by path twice: sources and targets are descriptors, and
// links lead nowhere but inside the new root. It must not know jobs, drivers or
// how a task is supervised. Begin reading at Order, then Main.
package box

import (
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/internal/confine"
)

// Arg is the argument that makes a supervisor this stage.
const Arg = "box"

// The descriptors that the stage is given beside the three standard streams:
// one gives its Order as JSON, one takes a Report if it fails. It is closed
// without one when the task's program runs.
const (
	OrderFD  = 3
	ReportFD = 4
	// FirstFD is that of the first of Order.Join.
	FirstFD = 5
)

// Order is what the stage shall do.
type Order struct {
	// Build makes a new box; Join are the kinds of namespaces (unix.CLONE_NEW*)
	// of one that is there, by the descriptors from FirstFD on.
	Build *Spec `json:",omitempty"`
	Join  []int `json:",omitempty"`
	// Command is the program with its arguments.
	Command []string
	Env     []string
	Dir     string
	// Search are the folders in which a program without a slash is looked for.
	Search []string
	Rights Rights
	// Silent takes the standard input away.
	Silent bool `json:",omitempty"`
	// Mortal ends the task when the thread that forked it does.
	Mortal bool `json:",omitempty"`
}

// Rights are what the task's program is left with.
type Rights struct {
	UID  uint32
	GID  uint32
	Caps confine.Caps
	// Scope shuts it in further where the kernel can: unix.LANDLOCK_SCOPE_*.
	Scope uint64
}

// Report says why the stage failed.
type Report struct {
	Error string
	// NotFound says that the program isn't there or can't be executed.
	NotFound bool
}

// Spec describes a box.
type Spec struct {
	// PID, IPC and Network say which namespaces it has to itself. The first one
	// must be its supervisor's already, the last one is entered by it.
	PID     bool
	IPC     bool
	Network bool `json:",omitempty"`
	// Image is a folder below Base to be the root; empty is a new one, in
	// memory, which nobody can write to. No link may lead to it.
	Base  string `json:",omitempty"`
	Image string `json:",omitempty"`
	// Binds are files and folders of the machine, in this order.
	Binds   []Bind
	Devices []Device `json:",omitempty"`
	// Masked are files and folders that nothing shows of.
	Masked []string `json:",omitempty"`
	// NoPivot changes the root in the way that works also where the machine
	// runs from its first RAM disk.
	NoPivot bool `json:",omitempty"`
	Rights  Rights
	Search  []string
}

// Namespaces are the flags to fork the stage with. That of cgroups is made
// later, when it is in those that shall be its roots.
func (s *Spec) Namespaces() uintptr {
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWUTS)
	if s.IPC {
		flags |= unix.CLONE_NEWIPC
	}
	return flags
}

// Bind shows something of the machine in the box: never with devices or
// set-user-ID bits, and read-only unless Write is set.
type Bind struct {
	From  string
	To    string
	Write bool `json:",omitempty"`
	// Follow shows what From links to; else a link is made again as it is.
	Follow bool `json:",omitempty"`
	// Optional leaves it out if From doesn't exist.
	Optional bool `json:",omitempty"`
	// Alone leaves out what is mounted below it.
	Alone bool `json:",omitempty"`
	// Propagation is how later mounts travel: private (also if empty),
	// host-to-task or bidirectional.
	Propagation string `json:",omitempty"`
}

// Device is one of the machine's device nodes.
type Device struct {
	From  string
	To    string
	Read  bool
	Write bool
}
