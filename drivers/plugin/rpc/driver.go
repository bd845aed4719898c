package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/wire/base"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
	"github.com/steppe-run/steppe/structs"
)

// Driver stands in front of a driver behind the wire.
type Driver struct {
	base base.BasePluginClient
	rpc  pb.DriverClient
}

var _ drivers.Driver = (*Driver)(nil)

// NewDriver returns the driver served on conn.
func NewDriver(conn grpc.ClientConnInterface) *Driver {
	return &Driver{base: base.NewBasePluginClient(conn), rpc: pb.NewDriverClient(conn)}
}

// NotADriverError says that a plugin is of another kind.
type NotADriverError struct{ Name, Kind string }

// Error implements error.
func (e *NotADriverError) Error() string {
	return fmt.Sprintf("plugin %q is of type %s, only driver plugins can be used", e.Name, e.Kind)
}

// Info implements drivers.Describer.
func (d *Driver) Info(ctx context.Context) (*drivers.Info, error) {
	r, err := d.base.PluginInfo(ctx, &base.PluginInfoRequest{})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	if r.GetType() != base.PluginType_DRIVER {
		return nil, &NotADriverError{Name: r.GetName(), Kind: r.GetType().String()}
	}
	return &drivers.Info{Name: r.GetName(), Version: r.GetPluginVersion(), APIVersions: r.GetPluginApiVersions()}, nil
}

// Schema implements drivers.Describer.
func (d *Driver) Schema(ctx context.Context) (*drivers.Schema, error) {
	plugin, err := d.base.ConfigSchema(ctx, &base.ConfigSchemaRequest{})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	task, err := d.rpc.TaskConfigSchema(ctx, &pb.TaskConfigSchemaRequest{})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return &drivers.Schema{Plugin: specFromWire(plugin.GetSpec()), Task: specFromWire(task.GetSpec())}, nil
}

// Configure implements drivers.Describer.
func (d *Driver) Configure(ctx context.Context, config []byte, node *drivers.NodeConfig) error {
	req := &base.SetConfigRequest{MsgpackConfig: config, PluginApiVersion: drivers.APIVersion}
	if node != nil {
		req.NomadConfig = &base.NomadConfig{Driver: &base.NomadDriverConfig{ClientMinPort: node.ClientMinPort, ClientMaxPort: node.ClientMaxPort}}
	}
	_, err := d.base.SetConfig(ctx, req)
	return fromStatus(ctx, err)
}

// Init tells a long-lived plugin that it is one; older ones needn't know.
func (d *Driver) Init(ctx context.Context) error {
	_, err := d.rpc.Init(ctx, &pb.InitRequest{})
	return ignoreUnimplemented(ctx, err)
}

// Shutdown announces the end of the plugin's process; older ones needn't know.
func (d *Driver) Shutdown(ctx context.Context) error {
	_, err := d.rpc.Shutdown(ctx, &pb.ShutdownRequest{})
	return ignoreUnimplemented(ctx, err)
}

func ignoreUnimplemented(ctx context.Context, err error) error {
	if status.Code(err) == codes.Unimplemented {
		return nil
	}
	return fromStatus(ctx, err)
}

// Capabilities implements drivers.Describer.
func (d *Driver) Capabilities(ctx context.Context) (*drivers.Capabilities, error) {
	r, err := d.rpc.Capabilities(ctx, &pb.CapabilitiesRequest{})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return capabilitiesFromWire(r.GetCapabilities()), nil
}

// Fingerprint implements drivers.Describer.
func (d *Driver) Fingerprint(ctx context.Context, emit func(*drivers.Fingerprint) error) error {
	stream, err := d.rpc.Fingerprint(ctx, &pb.FingerprintRequest{})
	if err != nil {
		return fromStatus(ctx, err)
	}
	return receive(ctx, stream, func(r *pb.FingerprintResponse) error { return emit(fingerprintFromWire(r)) })
}

// receive hands over a stream's messages until it ends.
func receive[M any](ctx context.Context, stream grpc.ServerStreamingClient[M], each func(*M) error) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fromStatus(ctx, err)
		}
		if err := each(m); err != nil {
			return err
		}
	}
}

// Start implements drivers.Runner.
func (d *Driver) Start(ctx context.Context, task *drivers.TaskConfig) (*drivers.Started, error) {
	r, err := d.rpc.StartTask(ctx, &pb.StartTaskRequest{Task: taskToWire(task)})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	handle := handleFromWire(r.GetHandle())
	if handle == nil {
		return nil, errors.New("the driver started the task and returned no handle")
	}
	if handle.Config == nil || handle.Config.ID != task.ID {
		handle.Config = task // the task is found again by it
	}
	return &drivers.Started{Handle: handle, Network: overrideFromWire(r.GetNetworkOverride())}, nil
}

// Wait implements drivers.Runner.
func (d *Driver) Wait(ctx context.Context, taskID string) (*drivers.ExitResult, error) {
	r, err := d.rpc.WaitTask(ctx, &pb.WaitTaskRequest{TaskId: taskID})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	if r.GetErr() != "" {
		return nil, fmt.Errorf("wait for task: %s", r.GetErr())
	}
	if r.GetResult() == nil {
		return nil, errors.New("wait for task: the driver returned no result")
	}
	return exitFromWire(r.GetResult()), nil
}

// Stop implements drivers.Runner.
func (d *Driver) Stop(ctx context.Context, taskID string, timeout time.Duration, signal string) error {
	_, err := d.rpc.StopTask(ctx, &pb.StopTaskRequest{TaskId: taskID, Timeout: durationpb.New(timeout), Signal: signal})
	return fromStatus(ctx, err)
}

// Destroy implements drivers.Runner.
func (d *Driver) Destroy(ctx context.Context, taskID string, force bool) error {
	_, err := d.rpc.DestroyTask(ctx, &pb.DestroyTaskRequest{TaskId: taskID, Force: force})
	return fromStatus(ctx, err)
}

// Recover implements drivers.Runner.
func (d *Driver) Recover(ctx context.Context, handle *drivers.Handle) error {
	_, err := d.rpc.RecoverTask(ctx, &pb.RecoverTaskRequest{Handle: handleToWire(handle)})
	return fromStatus(ctx, err)
}

// Inspect implements drivers.Observer.
func (d *Driver) Inspect(ctx context.Context, taskID string) (*drivers.TaskStatus, error) {
	r, err := d.rpc.InspectTask(ctx, &pb.InspectTaskRequest{TaskId: taskID})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return statusFromWire(r), nil
}

// Stats implements drivers.Observer.
func (d *Driver) Stats(ctx context.Context, taskID string, interval time.Duration, emit func(*structs.TaskResourceUsage) error) error {
	stream, err := d.rpc.TaskStats(ctx, &pb.TaskStatsRequest{TaskId: taskID, CollectionInterval: durationpb.New(interval)})
	if err != nil {
		return fromStatus(ctx, err)
	}
	return receive(ctx, stream, func(r *pb.TaskStatsResponse) error { return emit(usageFromWire(r.GetStats())) })
}

// Events implements drivers.Observer.
func (d *Driver) Events(ctx context.Context, emit func(*drivers.Event) error) error {
	stream, err := d.rpc.TaskEvents(ctx, &pb.TaskEventsRequest{})
	if err != nil {
		return fromStatus(ctx, err)
	}
	return receive(ctx, stream, func(e *pb.DriverTaskEvent) error { return emit(eventFromWire(e)) })
}

// Signal implements drivers.Commander.
func (d *Driver) Signal(ctx context.Context, taskID, signal string) error {
	_, err := d.rpc.SignalTask(ctx, &pb.SignalTaskRequest{TaskId: taskID, Signal: signal})
	return fromStatus(ctx, err)
}

// Exec implements drivers.Commander.
func (d *Driver) Exec(ctx context.Context, taskID string, command []string, timeout time.Duration) (*drivers.ExecResult, error) {
	r, err := d.rpc.ExecTask(ctx, &pb.ExecTaskRequest{TaskId: taskID, Command: command, Timeout: durationpb.New(timeout)})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	out := &drivers.ExecResult{Stdout: r.GetStdout(), Stderr: r.GetStderr()}
	if exit := exitFromWire(r.GetResult()); exit != nil {
		out.Exit = *exit
	}
	return out, nil
}

// CreateNetwork implements drivers.Networker.
func (d *Driver) CreateNetwork(ctx context.Context, allocID, hostname string) (*drivers.NetworkIsolation, bool, error) {
	r, err := d.rpc.CreateNetwork(ctx, &pb.CreateNetworkRequest{AllocId: allocID, Hostname: hostname})
	if err != nil {
		return nil, false, fromStatus(ctx, err)
	}
	return isolationFromWire(r.GetIsolationSpec()), r.GetCreated(), nil
}

// DestroyNetwork implements drivers.Networker.
func (d *Driver) DestroyNetwork(ctx context.Context, allocID string, network *drivers.NetworkIsolation) error {
	_, err := d.rpc.DestroyNetwork(ctx, &pb.DestroyNetworkRequest{AllocId: allocID, IsolationSpec: isolationToWire(network)})
	return fromStatus(ctx, err)
}
