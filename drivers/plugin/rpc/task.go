package rpc

import (
	"github.com/steppe-run/steppe/drivers"
	pb "github.com/steppe-run/steppe/drivers/plugin/wire/driver"
	"github.com/steppe-run/steppe/structs"
)

func taskToWire(t *drivers.TaskConfig) *pb.TaskConfig {
	if t == nil {
		return nil
	}
	out := &pb.TaskConfig{
		Id: t.ID, Name: t.Name, MsgpackDriverConfig: t.Config, Env: t.Env, DeviceEnv: t.DeviceEnv,
		User: t.User, AllocDir: t.AllocDir, StdoutPath: t.StdoutPath, StderrPath: t.StderrPath,
		TaskGroupName: t.TaskGroup, JobName: t.JobName, AllocId: t.AllocID, JobId: t.JobID,
		Namespace: t.Namespace, NodeName: t.NodeName, NodeId: t.NodeID, ParentJobId: t.ParentJobID,
		Resources: resourcesToWire(t.Resources), NetworkIsolationSpec: isolationToWire(t.Network),
	}
	for _, m := range t.Mounts {
		out.Mounts = append(out.Mounts, &pb.Mount{
			TaskPath: m.TaskPath, HostPath: m.HostPath, Readonly: m.ReadOnly,
			PropagationMode: m.PropagationMode, SelinuxLabel: m.SELinuxLabel, RequestName: m.RequestName,
		})
	}
	for _, d := range t.Devices {
		out.Devices = append(out.Devices, &pb.Device{TaskPath: d.TaskPath, HostPath: d.HostPath, CgroupPermissions: d.Permissions})
	}
	if t.DNS != nil {
		out.Dns = &pb.DNSConfig{Servers: t.DNS.Servers, Searches: t.DNS.Searches, Options: t.DNS.Options}
	}
	if t.Logs != nil {
		out.SteppeLogPolicy = &pb.LogPolicy{MaxFiles: int32(t.Logs.MaxFiles), MaxFileSizeMb: int32(t.Logs.MaxFileSizeMB), Disabled: t.Logs.Disabled}
	}
	return out
}

func taskFromWire(t *pb.TaskConfig) *drivers.TaskConfig {
	if t == nil {
		return nil
	}
	out := &drivers.TaskConfig{
		ID: t.GetId(), Name: t.GetName(), Config: t.GetMsgpackDriverConfig(), Env: t.GetEnv(), DeviceEnv: t.GetDeviceEnv(),
		User: t.GetUser(), AllocDir: t.GetAllocDir(), StdoutPath: t.GetStdoutPath(), StderrPath: t.GetStderrPath(),
		TaskGroup: t.GetTaskGroupName(), JobName: t.GetJobName(), AllocID: t.GetAllocId(), JobID: t.GetJobId(),
		Namespace: t.GetNamespace(), NodeName: t.GetNodeName(), NodeID: t.GetNodeId(), ParentJobID: t.GetParentJobId(),
		Resources: resourcesFromWire(t.GetResources()), Network: isolationFromWire(t.GetNetworkIsolationSpec()),
	}
	for _, m := range t.GetMounts() {
		out.Mounts = append(out.Mounts, drivers.Mount{
			TaskPath: m.GetTaskPath(), HostPath: m.GetHostPath(), ReadOnly: m.GetReadonly(),
			PropagationMode: m.GetPropagationMode(), SELinuxLabel: m.GetSelinuxLabel(), RequestName: m.GetRequestName(),
		})
	}
	for _, d := range t.GetDevices() {
		out.Devices = append(out.Devices, drivers.Device{TaskPath: d.GetTaskPath(), HostPath: d.GetHostPath(), Permissions: d.GetCgroupPermissions()})
	}
	if d := t.GetDns(); d != nil {
		out.DNS = &structs.DNSConfig{Servers: d.GetServers(), Searches: d.GetSearches(), Options: d.GetOptions()}
	}
	if p := t.GetSteppeLogPolicy(); p != nil {
		out.Logs = &drivers.LogPolicy{MaxFiles: int(p.GetMaxFiles()), MaxFileSizeMB: int(p.GetMaxFileSizeMb()), Disabled: p.GetDisabled()}
	}
	return out
}

func resourcesToWire(r *drivers.Resources) *pb.Resources {
	if r == nil {
		return nil
	}
	l := r.Linux
	out := &pb.Resources{
		AllocatedResources: &pb.AllocatedTaskResources{
			Cpu:    &pb.AllocatedCpuResources{CpuShares: r.Allocated.Cpu.CpuShares},
			Memory: &pb.AllocatedMemoryResources{MemoryMb: r.Allocated.Memory.MemoryMB, MemoryMaxMb: r.Allocated.Memory.MemoryMaxMB},
		},
		LinuxResources: &pb.LinuxResources{
			CpuPeriod: l.CPUPeriod, CpuQuota: l.CPUQuota, CpuShares: l.CPUShares, MemoryLimitBytes: l.MemoryLimitBytes,
			OomScoreAdj: l.OOMScoreAdj, CpusetCpus: l.CpusetCPUs, CpusetCgroup: l.CpusetCgroup, PercentTicks: l.PercentTicks,
		},
	}
	for _, n := range r.Allocated.Networks {
		out.AllocatedResources.Networks = append(out.AllocatedResources.Networks, networkResourceToWire(n))
	}
	for _, p := range r.Ports {
		out.Ports = append(out.Ports, &pb.PortMapping{Label: p.Label, Value: int32(p.Value), To: int32(p.To), HostIp: p.HostIP})
	}
	return out
}

func resourcesFromWire(r *pb.Resources) *drivers.Resources {
	if r == nil {
		return nil
	}
	a, l := r.GetAllocatedResources(), r.GetLinuxResources()
	out := &drivers.Resources{
		Allocated: structs.AllocatedTaskResources{
			Cpu:    structs.AllocatedCpuResources{CpuShares: a.GetCpu().GetCpuShares()},
			Memory: structs.AllocatedMemoryResources{MemoryMB: a.GetMemory().GetMemoryMb(), MemoryMaxMB: a.GetMemory().GetMemoryMaxMb()},
		},
		Linux: drivers.LinuxResources{
			CPUPeriod: l.GetCpuPeriod(), CPUQuota: l.GetCpuQuota(), CPUShares: l.GetCpuShares(), MemoryLimitBytes: l.GetMemoryLimitBytes(),
			OOMScoreAdj: l.GetOomScoreAdj(), CpusetCPUs: l.GetCpusetCpus(), CpusetCgroup: l.GetCpusetCgroup(), PercentTicks: l.GetPercentTicks(),
		},
	}
	for _, n := range a.GetNetworks() {
		out.Allocated.Networks = append(out.Allocated.Networks, networkResourceFromWire(n))
	}
	for _, p := range r.GetPorts() {
		out.Ports = append(out.Ports, structs.PortMapping{Label: p.GetLabel(), Value: int(p.GetValue()), To: int(p.GetTo()), HostIP: p.GetHostIp()})
	}
	return out
}

func networkResourceToWire(n *structs.NetworkResource) *pb.NetworkResource {
	out := &pb.NetworkResource{Device: n.Device, Cidr: n.CIDR, Ip: n.IP}
	if n.MBits != nil {
		out.Mbits = int32(*n.MBits)
	}
	for _, p := range n.ReservedPorts {
		out.ReservedPorts = append(out.ReservedPorts, &pb.NetworkPort{Label: p.Label, Value: int32(p.Value)})
	}
	for _, p := range n.DynamicPorts {
		out.DynamicPorts = append(out.DynamicPorts, &pb.NetworkPort{Label: p.Label, Value: int32(p.Value)})
	}
	return out
}

func networkResourceFromWire(n *pb.NetworkResource) *structs.NetworkResource {
	mbits := int(n.GetMbits())
	out := &structs.NetworkResource{Device: n.GetDevice(), CIDR: n.GetCidr(), IP: n.GetIp(), MBits: &mbits}
	for _, p := range n.GetReservedPorts() {
		out.ReservedPorts = append(out.ReservedPorts, structs.Port{Label: p.GetLabel(), Value: int(p.GetValue())})
	}
	for _, p := range n.GetDynamicPorts() {
		out.DynamicPorts = append(out.DynamicPorts, structs.Port{Label: p.GetLabel(), Value: int(p.GetValue())})
	}
	return out
}
