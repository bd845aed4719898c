package rpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/wire/base"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// Server puts one driver behind the wire: the services BasePlugin and Driver.
type Server struct {
	pb.UnimplementedDriverServer
	base.UnimplementedBasePluginServer

	driver drivers.Driver
	// readers owns the goroutines that read client streams: they end with
	// their stream, which is after the handler that needed them.
	readers *loop.Group
}

// NewServer returns a server for driver. Close it after the gRPC server.
func NewServer(ctx context.Context, driver drivers.Driver) *Server {
	return &Server{driver: driver, readers: loop.New(ctx)}
}

// RegisterBase adds the service every plugin has.
func (s *Server) RegisterBase(r grpc.ServiceRegistrar) { base.RegisterBasePluginServer(r, s) }

// RegisterDriver adds the driver service.
func (s *Server) RegisterDriver(r grpc.ServiceRegistrar) { pb.RegisterDriverServer(r, s) }

// Close waits for what the served streams left running.
func (s *Server) Close() error {
	s.readers.Stop()
	return s.readers.Wait()
}

// PluginInfo implements the BasePlugin service.
func (s *Server) PluginInfo(ctx context.Context, _ *base.PluginInfoRequest) (*base.PluginInfoResponse, error) {
	info, err := s.driver.Info(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	return &base.PluginInfoResponse{Type: base.PluginType_DRIVER, Name: info.Name, PluginVersion: info.Version, PluginApiVersions: info.APIVersions}, nil
}

// ConfigSchema implements the BasePlugin service.
func (s *Server) ConfigSchema(ctx context.Context, _ *base.ConfigSchemaRequest) (*base.ConfigSchemaResponse, error) {
	schema, err := s.driver.Schema(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	return &base.ConfigSchemaResponse{Spec: specToWire(schema.Plugin)}, nil
}

// SetConfig implements the BasePlugin service.
func (s *Server) SetConfig(ctx context.Context, req *base.SetConfigRequest) (*base.SetConfigResponse, error) {
	var node *drivers.NodeConfig
	if d := req.GetNomadConfig().GetDriver(); d != nil {
		node = &drivers.NodeConfig{ClientMinPort: d.GetClientMinPort(), ClientMaxPort: d.GetClientMaxPort()}
	}
	if err := s.driver.Configure(ctx, req.GetMsgpackConfig(), node); err != nil {
		return nil, toStatus(err)
	}
	return &base.SetConfigResponse{}, nil
}

// Init implements the Driver service.
func (s *Server) Init(context.Context, *pb.InitRequest) (*pb.InitResponse, error) {
	return &pb.InitResponse{}, nil
}

// Shutdown implements the Driver service.
func (s *Server) Shutdown(context.Context, *pb.ShutdownRequest) (*pb.ShutdownResponse, error) {
	return &pb.ShutdownResponse{}, nil
}

// TaskConfigSchema implements the Driver service.
func (s *Server) TaskConfigSchema(ctx context.Context, _ *pb.TaskConfigSchemaRequest) (*pb.TaskConfigSchemaResponse, error) {
	schema, err := s.driver.Schema(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.TaskConfigSchemaResponse{Spec: specToWire(schema.Task)}, nil
}

// Capabilities implements the Driver service.
func (s *Server) Capabilities(ctx context.Context, _ *pb.CapabilitiesRequest) (*pb.CapabilitiesResponse, error) {
	caps, err := s.driver.Capabilities(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.CapabilitiesResponse{Capabilities: capabilitiesToWire(caps)}, nil
}

// Fingerprint implements the Driver service.
func (s *Server) Fingerprint(_ *pb.FingerprintRequest, stream grpc.ServerStreamingServer[pb.FingerprintResponse]) error {
	return toStatus(s.driver.Fingerprint(stream.Context(), func(f *drivers.Fingerprint) error {
		return stream.Send(fingerprintToWire(f))
	}))
}

// RecoverTask implements the Driver service.
func (s *Server) RecoverTask(ctx context.Context, req *pb.RecoverTaskRequest) (*pb.RecoverTaskResponse, error) {
	handle := handleFromWire(req.GetHandle())
	if handle == nil || handle.Config == nil {
		return nil, toStatus(fmt.Errorf("recover task: the request carries no handle"))
	}
	return &pb.RecoverTaskResponse{}, toStatus(s.driver.Recover(ctx, handle))
}

// StartTask implements the Driver service.
func (s *Server) StartTask(ctx context.Context, req *pb.StartTaskRequest) (*pb.StartTaskResponse, error) {
	task := taskFromWire(req.GetTask())
	if task == nil {
		return nil, toStatus(fmt.Errorf("start task: the request carries no task"))
	}
	started, err := s.driver.Start(ctx, task)
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.StartTaskResponse{Handle: handleToWire(started.Handle), NetworkOverride: overrideToWire(started.Network)}, nil
}

// WaitTask implements the Driver service.
func (s *Server) WaitTask(ctx context.Context, req *pb.WaitTaskRequest) (*pb.WaitTaskResponse, error) {
	exit, err := s.driver.Wait(ctx, req.GetTaskId())
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.WaitTaskResponse{Result: exitToWire(exit)}, nil
}

// StopTask implements the Driver service.
func (s *Server) StopTask(ctx context.Context, req *pb.StopTaskRequest) (*pb.StopTaskResponse, error) {
	return &pb.StopTaskResponse{}, toStatus(s.driver.Stop(ctx, req.GetTaskId(), req.GetTimeout().AsDuration(), req.GetSignal()))
}

// DestroyTask implements the Driver service.
func (s *Server) DestroyTask(ctx context.Context, req *pb.DestroyTaskRequest) (*pb.DestroyTaskResponse, error) {
	return &pb.DestroyTaskResponse{}, toStatus(s.driver.Destroy(ctx, req.GetTaskId(), req.GetForce()))
}

// InspectTask implements the Driver service.
func (s *Server) InspectTask(ctx context.Context, req *pb.InspectTaskRequest) (*pb.InspectTaskResponse, error) {
	status, err := s.driver.Inspect(ctx, req.GetTaskId())
	if err != nil {
		return nil, toStatus(err)
	}
	return statusToWire(status), nil
}

// TaskStats implements the Driver service.
func (s *Server) TaskStats(req *pb.TaskStatsRequest, stream grpc.ServerStreamingServer[pb.TaskStatsResponse]) error {
	id := req.GetTaskId()
	return toStatus(s.driver.Stats(stream.Context(), id, req.GetCollectionInterval().AsDuration(), func(u *structs.TaskResourceUsage) error {
		return stream.Send(&pb.TaskStatsResponse{Stats: usageToWire(id, u)})
	}))
}

// TaskEvents implements the Driver service.
func (s *Server) TaskEvents(_ *pb.TaskEventsRequest, stream grpc.ServerStreamingServer[pb.DriverTaskEvent]) error {
	return toStatus(s.driver.Events(stream.Context(), func(e *drivers.Event) error {
		return stream.Send(eventToWire(e))
	}))
}

// SignalTask implements the Driver service.
func (s *Server) SignalTask(ctx context.Context, req *pb.SignalTaskRequest) (*pb.SignalTaskResponse, error) {
	return &pb.SignalTaskResponse{}, toStatus(s.driver.Signal(ctx, req.GetTaskId(), req.GetSignal()))
}

// ExecTask implements the Driver service.
func (s *Server) ExecTask(ctx context.Context, req *pb.ExecTaskRequest) (*pb.ExecTaskResponse, error) {
	result, err := s.driver.Exec(ctx, req.GetTaskId(), req.GetCommand(), req.GetTimeout().AsDuration())
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.ExecTaskResponse{Stdout: result.Stdout, Stderr: result.Stderr, Result: exitToWire(&result.Exit)}, nil
}

// CreateNetwork implements the Driver service.
func (s *Server) CreateNetwork(ctx context.Context, req *pb.CreateNetworkRequest) (*pb.CreateNetworkResponse, error) {
	network, created, err := s.driver.CreateNetwork(ctx, req.GetAllocId(), req.GetHostname())
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.CreateNetworkResponse{IsolationSpec: isolationToWire(network), Created: created}, nil
}

// DestroyNetwork implements the Driver service.
func (s *Server) DestroyNetwork(ctx context.Context, req *pb.DestroyNetworkRequest) (*pb.DestroyNetworkResponse, error) {
	return &pb.DestroyNetworkResponse{}, toStatus(s.driver.DestroyNetwork(ctx, req.GetAllocId(), isolationFromWire(req.GetIsolationSpec())))
}
