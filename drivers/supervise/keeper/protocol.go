//go:build linux

package keeper

import (
	"time"

	"github.com/steppe-run/steppe/drivers/supervise/keeper/box"
	"github.com/steppe-run/steppe/internal/process"
)

// Version is that of the spec and of the socket's protocol. A supervisor may
// be older than the plugin that talks to it: fields are only ever added.
const Version = 1

// The files in a task's supervision directory.
const (
	// SocketName is where the supervisor answers.
	SocketName = "control.sock"
	// StateName holds a Status as JSON, written once the task runs.
	StateName = "state.json"
	// ExitName holds an Exit as JSON; it is written before anybody is told.
	ExitName = "exit.json"
)

// Spec is what a supervisor is told on its standard input, as JSON.
type Spec struct {
	Version int
	// Task names the task; its log files are `<Task>.stdout.N` and so on.
	Task string
	// Path is the program, Args its arguments with the name it is called by.
	Path string
	Args []string
	Env  []string
	Dir  string
	// User is who runs the task; nil is who runs the supervisor.
	User *User
	Logs Logs
	// Cgroup is a directory of the unified hierarchy to make and to run in;
	// empty is none.
	Cgroup string
	// CgroupForeign says that Cgroup is another's: it is neither made, nor
	// killed as a whole, nor removed.
	CgroupForeign bool
	// LegacyCgroups are directories of version 1 hierarchies to run in.
	LegacyCgroups []string
	// Network is the path of a network namespace to run in.
	Network     string
	OOMScoreAdj int
	// Box is the sandbox to run in. Path, Dir and the programs of commands then
	// are those of the sandbox, and User isn't asked. With Box.PID the supervisor
	// must have been started as the first process of a PID namespace.
	Box *box.Spec `json:",omitempty"`
	// Settings are written into Cgroup.
	Settings []Setting `json:",omitempty"`
	// Groups are further cgroups, of version 1 hierarchies, to make, to run in
	// and to remove.
	Groups []Group `json:",omitempty"`
}

// Group is a cgroup of the task's own.
type Group struct {
	Dir      string
	Settings []Setting
}

// Setting is a value for a file of a cgroup.
type Setting struct {
	File  string
	Value string
	// Optional says that not every kernel has the file.
	Optional bool `json:",omitempty"`
}

// User is a user by numbers.
type User struct {
	UID    uint32
	GID    uint32
	Groups []uint32
}

// Logs says where the task's output goes: into rotated files in Dir, or into
// Stdout and Stderr, or nowhere.
type Logs struct {
	Dir      string
	MaxFiles int
	MaxBytes int64
	Stdout   string
	Stderr   string
}

// Report is what a supervisor prints on its standard output, as one line of
// JSON, when the task runs or could not be started.
type Report struct {
	Status *Status `json:",omitempty"`
	Error  string  `json:",omitempty"`
	// NotFound says that the program doesn't exist or can't be executed.
	NotFound bool `json:",omitempty"`
}

// Status describes a supervised task.
type Status struct {
	Version    int
	Supervisor process.Identity
	Task       process.Identity
	StartedAt  time.Time
	Cgroup     string `json:",omitempty"`
	// Owned says that Cgroup was made for this task alone.
	Owned bool `json:",omitempty"`
	// Groups are its further cgroups.
	Groups []string `json:",omitempty"`
	Exit   *Exit    `json:",omitempty"`
}

// Exit is how a task ended.
type Exit struct {
	Code   int
	Signal int
	OOM    bool
	At     time.Time
}

// The requests. Each connection carries one, as one line of JSON, and gets one
// answer; Exec gets two.
const (
	// OpStatus answers at once.
	OpStatus = "status"
	// OpWait answers when the task has ended.
	OpWait = "wait"
	// OpSignal sends Request.Signal to the task's process.
	OpSignal = "signal"
	// OpStop sends Request.Signal, kills after Request.Timeout and answers
	// when the task has ended. It goes on when the connection breaks.
	OpStop = "stop"
	// OpExec runs Request.Command with the three descriptors that came along
	// as its standard streams, answers when it runs and again when it has
	// ended. It is killed when the connection breaks.
	OpExec = "exec"
)

// CollectorArg is the argument, before the directory, that makes a supervisor a collector: it has no
// task, but reads the FIFOs into which tasks of other drivers print. There is
// one of it a node. It ends when it has nothing left to read.
const CollectorArg = "logs"

// The requests to a collector, beside OpStatus.
const (
	// OpCollect has Request.Stream read from now on, if it isn't already.
	OpCollect = "collect"
	// OpRelease takes what is left in the FIFO of Request.Stream, and answers
	// when it is written.
	OpRelease = "release"
)

// Stream is one FIFO and the rotated files that it is read into: `<Name>.0` and
// so on, in Dir.
type Stream struct {
	FIFO     string
	Dir      string
	Name     string
	MaxFiles int
	MaxBytes int64
}

// Request is what the socket takes.
type Request struct {
	Version int
	Op      string
	Signal  int           `json:",omitempty"`
	Timeout time.Duration `json:",omitempty"`
	Command []string      `json:",omitempty"`
	// Path is the program of Command.
	Path string `json:",omitempty"`
	// TTY says that the descriptors are a terminal.
	TTY bool `json:",omitempty"`
	// Stream is what a collector shall read, or no longer read.
	Stream *Stream `json:",omitempty"`
}

// Response is what the socket gives.
type Response struct {
	Error    string  `json:",omitempty"`
	NotFound bool    `json:",omitempty"`
	Status   *Status `json:",omitempty"`
	// Exit is how an executed command ended.
	Exit *Exit `json:",omitempty"`
}
