package drivers

import (
	"context"
	"io"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Driver runs tasks of one kind. Every method is safe for concurrent use and
// ends when its context does; a context that ends never ends a task.
type Driver interface {
	Describer
	Runner
	Observer
	Commander
	Networker
}

// Describer says what a driver is and can do, and takes its configuration.
type Describer interface {
	// Info names the driver; jobs know it by Info.Name.
	Info(ctx context.Context) (*Info, error)
	// Schema returns the shape of the plugin's own block and of a task's
	// `config` block.
	Schema(ctx context.Context) (*Schema, error)
	// Configure hands over the plugin's block, as msgpack of the decoded
	// schema value, and what the node knows. Node is nil while the block is
	// only being checked.
	Configure(ctx context.Context, config []byte, node *NodeConfig) error
	// Capabilities tells what the driver can do.
	Capabilities(ctx context.Context) (*Capabilities, error)
	// Fingerprint blocks and emits the driver's health: once at first, then
	// on change or period. It returns when ctx ends or emit fails.
	Fingerprint(ctx context.Context, emit func(*Fingerprint) error) error
}

// Runner starts and ends tasks.
type Runner interface {
	// Start runs a task and returns once it runs. The handle it returns is
	// all that Recover needs, in another process and at another time.
	Start(ctx context.Context, task *TaskConfig) (*Started, error)
	// Wait blocks until the task has exited; it may be called many times, also
	// afterwards.
	Wait(ctx context.Context, taskID string) (*ExitResult, error)
	// Stop sends signal (empty: the driver's default) and kills the task if it
	// still runs after timeout. It doesn't return before the task is dead.
	Stop(ctx context.Context, taskID string, timeout time.Duration, signal string) error
	// Destroy forgets the task and removes what it left. A running task is
	// refused unless force is set.
	Destroy(ctx context.Context, taskID string, force bool) error
	// Recover takes a task back after the driver or the agent was restarted.
	// It returns nil for a task that is known already.
	Recover(ctx context.Context, handle *Handle) error
}

// Observer tells how tasks are doing.
type Observer interface {
	// Inspect describes one task.
	Inspect(ctx context.Context, taskID string) (*TaskStatus, error)
	// Stats blocks and emits the task's usage every interval until the task
	// exits, ctx ends or emit fails.
	Stats(ctx context.Context, taskID string, interval time.Duration, emit func(*structs.TaskResourceUsage) error) error
	// Events blocks and emits what happens to any task of the driver.
	Events(ctx context.Context, emit func(*Event) error) error
}

// Commander acts inside a running task.
type Commander interface {
	// Signal sends a signal by name, such as SIGHUP.
	Signal(ctx context.Context, taskID, signal string) error
	// Exec runs a command beside the task's process and collects its output.
	Exec(ctx context.Context, taskID string, command []string, timeout time.Duration) (*ExecResult, error)
	// ExecStreaming runs a command with its streams connected.
	ExecStreaming(ctx context.Context, taskID string, req *ExecRequest) (*ExitResult, error)
}

// Networker makes the network namespace of an allocation, for drivers whose
// Capabilities say MustCreateNetwork.
type Networker interface {
	// CreateNetwork returns the namespace's description, and whether it was
	// made by this call.
	CreateNetwork(ctx context.Context, allocID, hostname string) (*NetworkIsolation, bool, error)
	// DestroyNetwork removes what CreateNetwork made. It is idempotent.
	DestroyNetwork(ctx context.Context, allocID string, network *NetworkIsolation) error
}

// Service is implemented by drivers that have work of their own to do, such
// as following logs. Run returns when ctx ends; tasks go on.
type Service interface {
	Run(ctx context.Context) error
}

// Catalog is how a node agent reaches its drivers. The drivers it returns
// survive the death of the plugin behind them: it is launched again and told
// to recover its tasks.
type Catalog interface {
	// Names lists the drivers, sorted, detected or not.
	Names() []string
	// Driver returns a driver by name, or *UnknownDriverError.
	Driver(name string) (Driver, error)
	// EncodeConfig decodes a task's `config` block by the driver's schema,
	// with vars (the task's environment, and node.*, attr.*, meta.* keys) as
	// variables, and returns TaskConfig.Config.
	EncodeConfig(ctx context.Context, driver string, config map[string]any, vars map[string]string) ([]byte, error)
	// WatchFingerprints blocks and reports every driver's fingerprint: the
	// newest known at once, later ones as they come.
	WatchFingerprints(ctx context.Context, emit func(driver string, fp *Fingerprint)) error
	// WatchEvents blocks and reports the events of all drivers.
	WatchEvents(ctx context.Context, emit func(driver string, event *Event)) error
}

// ExecRequest is a command to run inside a task, with its streams.
type ExecRequest struct {
	Command []string
	// TTY asks for a pseudo terminal; Stderr then stays unused.
	TTY bool
	// Stdin may be nil. One whose reads can block must be an io.Closer that
	// ends them: it is closed when the command has exited.
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Resize delivers terminal sizes; nil when there are none.
	Resize <-chan TerminalSize
}

// TerminalSize is a terminal's size in characters.
type TerminalSize struct{ Height, Width int }

// ExecResult is the outcome of Exec.
type ExecResult struct {
	Stdout []byte
	Stderr []byte
	Exit   ExitResult
}
