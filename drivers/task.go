package drivers

import (
	"path/filepath"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// TaskConfig is everything a driver learns about a task to start.
type TaskConfig struct {
	// ID names this start of the task: `<alloc id>/<task>/<8 hex digits>`.
	ID          string
	Name        string
	AllocID     string
	TaskGroup   string
	JobID       string
	JobName     string
	ParentJobID string
	Namespace   string
	NodeID      string
	NodeName    string
	// Config is the decoded `config` block as msgpack; see DecodeConfig.
	Config    []byte
	Env       map[string]string
	DeviceEnv map[string]string
	User      string
	// AllocDir is the allocation's directory on the host.
	AllocDir string
	// StdoutPath and StderrPath are FIFOs that somebody reads, for drivers
	// that don't write log files themselves (see LogPolicy).
	StdoutPath string
	StderrPath string
	Resources  *Resources
	Mounts     []Mount
	Devices    []Device
	Network    *NetworkIsolation
	DNS        *structs.DNSConfig
	// Logs, when set, asks a driver with Capabilities.DisableLogCollection to
	// write rotated log files into LogDir by itself.
	Logs *LogPolicy
}

// TaskDir is the task's own directory on the host.
func (t *TaskConfig) TaskDir() string { return filepath.Join(t.AllocDir, t.Name) }

// LogDir is where the allocation's log files lie on the host.
func (t *TaskConfig) LogDir() string { return filepath.Join(t.AllocDir, "alloc", "logs") }

// LogPolicy bounds the log files `<task>.stdout.N` and `<task>.stderr.N` that
// a driver writes itself.
//
// A driver that says Capabilities.DisableLogCollection gets no FIFOs. Ours
// (raw_exec, docker) then write the files as the policy says, so that logging
// goes on while agent and plugin are away. On the wire the policy is a field
// with a number far beyond the published ones, which third-party plugins skip.
type LogPolicy struct {
	MaxFiles      int
	MaxFileSizeMB int
	// Disabled drops the task's output.
	Disabled bool
}

// LogStream is one output of a task that somebody else reads for it: the FIFO
// that the driver writes to, and the files `<Name>.0` and so on in Dir that
// what comes is put into.
type LogStream struct {
	FIFO   string
	Dir    string
	Name   string
	Policy LogPolicy
}

// Resources are a task's share of its node.
type Resources struct {
	// Allocated is what the scheduler assigned.
	Allocated structs.AllocatedTaskResources
	Linux     LinuxResources
	// Ports are all ports of the group.
	Ports []structs.PortMapping
}

// LinuxResources are limits in the kernel's terms.
type LinuxResources struct {
	CPUPeriod        int64
	CPUQuota         int64
	CPUShares        int64
	MemoryLimitBytes int64
	OOMScoreAdj      int64
	// CpusetCPUs lists reserved cores, such as "0,1".
	CpusetCPUs string
	// CpusetCgroup is a cgroup that the client made for the task.
	CpusetCgroup string
	// PercentTicks is the task's share of the node's usable MHz.
	PercentTicks float64
}

// Mount is a host path to show inside the task.
type Mount struct {
	TaskPath        string
	HostPath        string
	ReadOnly        bool
	PropagationMode string
	SELinuxLabel    string
	RequestName     string
}

// Device is a device node to show inside the task.
type Device struct {
	TaskPath    string
	HostPath    string
	Permissions string
}

// TaskState is how far a task has come.
type TaskState string

// The states of a task.
const (
	TaskUnknown TaskState = "unknown"
	TaskRunning TaskState = "running"
	TaskExited  TaskState = "exited"
)

// Handle is what a driver needs to find a task again. The client stores it.
type Handle struct {
	Version int
	Config  *TaskConfig
	State   TaskState
	// DriverState belongs to the driver; nobody else looks inside.
	DriverState []byte
}

// Started is the outcome of Start.
type Started struct {
	Handle *Handle
	// Network tells where the task is reached, if not as the client thinks.
	Network *Network
}

// Network overrides how a task's ports are reached.
type Network struct {
	PortMap       map[string]int
	Addr          string
	AutoAdvertise bool
}

// ExitResult says how a task's process ended.
type ExitResult struct {
	ExitCode  int
	Signal    int
	OOMKilled bool
}

// Successful reports whether the process ended well.
func (r *ExitResult) Successful() bool {
	return r != nil && r.ExitCode == 0 && r.Signal == 0 && !r.OOMKilled
}

// TaskStatus is a driver's view of one task.
type TaskStatus struct {
	ID          string
	Name        string
	State       TaskState
	StartedAt   time.Time
	CompletedAt time.Time
	Exit        *ExitResult
	Attributes  map[string]string
	Network     *Network
}

// Event is something that happened to a task, told by its driver. Message and
// Annotations become a task event of type Driver.
type Event struct {
	TaskID      string
	AllocID     string
	TaskName    string
	Time        time.Time
	Message     string
	Annotations map[string]string
}
