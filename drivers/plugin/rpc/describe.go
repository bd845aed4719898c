package rpc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/steppe-run/steppe/drivers"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
)

var fsIsolations = map[pb.DriverCapabilities_FSIsolation]drivers.FSIsolation{
	pb.DriverCapabilities_NONE:   drivers.FSNone,
	pb.DriverCapabilities_CHROOT: drivers.FSChroot,
	pb.DriverCapabilities_IMAGE:  drivers.FSImage,
	pb.DriverCapabilities_UNVEIL: drivers.FSUnveil,
}

var networkModes = map[pb.NetworkIsolationSpec_NetworkIsolationMode]drivers.NetworkMode{
	pb.NetworkIsolationSpec_HOST:  drivers.NetworkHost,
	pb.NetworkIsolationSpec_GROUP: drivers.NetworkGroup,
	pb.NetworkIsolationSpec_TASK:  drivers.NetworkTask,
	pb.NetworkIsolationSpec_NONE:  drivers.NetworkNone,
}

func capabilitiesToWire(c *drivers.Capabilities) *pb.DriverCapabilities {
	out := &pb.DriverCapabilities{
		SendSignals: c.SendSignals, Exec: c.Exec, FsIsolation: keyOf(fsIsolations, c.FSIsolation),
		MustCreateNetwork: c.MustCreateNetwork, DisableLogCollection: c.DisableLogCollection, DynamicWorkloadUsers: c.DynamicUsers,
	}
	if c.NoMounts {
		out.MountConfigs = pb.DriverCapabilities_NO_MOUNTS
	}
	for _, m := range c.NetworkModes {
		out.NetworkIsolationModes = append(out.NetworkIsolationModes, keyOf(networkModes, m))
	}
	return out
}

func capabilitiesFromWire(c *pb.DriverCapabilities) *drivers.Capabilities {
	out := &drivers.Capabilities{
		SendSignals: c.GetSendSignals(), Exec: c.GetExec(), FSIsolation: fsIsolations[c.GetFsIsolation()],
		MustCreateNetwork: c.GetMustCreateNetwork(), NoMounts: c.GetMountConfigs() == pb.DriverCapabilities_NO_MOUNTS,
		DisableLogCollection: c.GetDisableLogCollection(), DynamicUsers: c.GetDynamicWorkloadUsers(),
	}
	for _, m := range c.GetNetworkIsolationModes() {
		if mode, ok := networkModes[m]; ok {
			out.NetworkModes = append(out.NetworkModes, mode)
		}
	}
	return out
}

func isolationToWire(n *drivers.NetworkIsolation) *pb.NetworkIsolationSpec {
	if n == nil {
		return nil
	}
	out := &pb.NetworkIsolationSpec{Mode: keyOf(networkModes, n.Mode), Path: n.Path, Labels: n.Labels}
	if n.Hosts != nil {
		out.HostsConfig = &pb.HostsConfig{Hostname: n.Hosts.Hostname, Address: n.Hosts.Address}
	}
	return out
}

func isolationFromWire(n *pb.NetworkIsolationSpec) *drivers.NetworkIsolation {
	if n == nil {
		return nil
	}
	out := &drivers.NetworkIsolation{Mode: networkModes[n.GetMode()], Path: n.GetPath(), Labels: n.GetLabels()}
	if h := n.GetHostsConfig(); h != nil {
		out.Hosts = &drivers.HostsConfig{Hostname: h.GetHostname(), Address: h.GetAddress()}
	}
	return out
}

func eventToWire(e *drivers.Event) *pb.DriverTaskEvent {
	return &pb.DriverTaskEvent{
		TaskId: e.TaskID, AllocId: e.AllocID, TaskName: e.TaskName, Timestamp: timestamppb.New(e.Time),
		Message: e.Message, Annotations: e.Annotations,
	}
}

func eventFromWire(e *pb.DriverTaskEvent) *drivers.Event {
	return &drivers.Event{
		TaskID: e.GetTaskId(), AllocID: e.GetAllocId(), TaskName: e.GetTaskName(), Time: asTime(e.GetTimestamp()),
		Message: e.GetMessage(), Annotations: e.GetAnnotations(),
	}
}
