package task

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/taskenv"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/cpuset"
	"github.com/steppe-run/steppe/structs"
)

// taskConfig makes what the driver is told, with a fresh id.
func (r *Runner) taskConfig(ctx context.Context) (*drivers.TaskConfig, error) {
	r.mu.Lock()
	r.env = r.environment()
	alloc, task, env, isolation := r.alloc, r.task, r.env, r.isolation
	r.mu.Unlock()
	encoded, err := r.host.Drivers.EncodeConfig(ctx, task.Driver, task.Config, env.Variables())
	if err != nil {
		return nil, err
	}
	mounts, err := r.mounts(alloc, task)
	if err != nil {
		return nil, err
	}
	node := r.host.Node()
	group := alloc.Job.LookupTaskGroup(alloc.TaskGroup)
	config := &drivers.TaskConfig{
		ID:          r.newTaskID(alloc.ID, task.Name),
		Name:        task.Name,
		AllocID:     alloc.ID,
		TaskGroup:   alloc.TaskGroup,
		JobID:       alloc.JobID,
		JobName:     alloc.Job.GetName(),
		ParentJobID: alloc.Job.GetParentID(),
		Namespace:   alloc.Namespace,
		NodeID:      node.ID,
		NodeName:    node.Name,
		Config:      encoded,
		Env:         env.Map(),
		User:        env.Replace(task.User),
		AllocDir:    r.dir.Path(),
		Resources:   resources(node, alloc, task),
		Mounts:      mounts,
		Network:     isolation,
		DNS:         dns(group, alloc),
	}
	return config, r.placeLogs(config, task)
}

// environment must be called with the lock held.
func (r *Runner) environment() *taskenv.Env {
	in := taskenv.Input{
		Node:    r.host.Node(),
		Region:  r.host.Region,
		Alloc:   r.alloc,
		Task:    r.task,
		Paths:   r.pathsLocked(),
		Network: r.memory.Network,
	}
	if r.caps == nil || r.caps.FSIsolation != drivers.FSImage {
		in.Host = r.host.Environ
	}
	return taskenv.Build(in)
}

// pathsLocked are the task's directories as it sees them: below its own root
// where the driver gives it one.
func (r *Runner) pathsLocked() taskenv.Paths {
	if r.caps != nil && (r.caps.FSIsolation == drivers.FSChroot || r.caps.FSIsolation == drivers.FSImage) {
		return taskenv.Paths{Alloc: "/alloc", Local: "/local", Secrets: "/secrets"}
	}
	dir := r.dir.TaskPath(r.name)
	return taskenv.Paths{
		Alloc:   r.dir.SharedPath(),
		Local:   filepath.Join(dir, allocdir.LocalName),
		Secrets: filepath.Join(dir, allocdir.SecretsName),
	}
}

// resources puts what the scheduler gave into the kernel's terms.
func resources(node *structs.Node, alloc *structs.Allocation, task *structs.Task) *drivers.Resources {
	given := taskenv.TaskResources(alloc, task)
	limit := max(given.Memory.MemoryMB, given.Memory.MemoryMaxMB)
	out := &drivers.Resources{
		Allocated: given,
		Linux: drivers.LinuxResources{
			CPUShares:        given.Cpu.CpuShares,
			MemoryLimitBytes: limit << 20,
			CpusetCPUs:       cpuset.List(slices.Sorted(slices.Values(given.Cpu.ReservedCores))),
		},
	}
	if node.NodeResources != nil && node.NodeResources.Cpu.CpuShares > 0 {
		out.Linux.PercentTicks = float64(given.Cpu.CpuShares) / float64(node.NodeResources.Cpu.CpuShares)
	}
	if alloc.AllocatedResources != nil {
		out.Ports = alloc.AllocatedResources.Shared.Ports
	}
	return out
}

// dns prefers what the job says over what the network came with.
func dns(group *structs.TaskGroup, alloc *structs.Allocation) *structs.DNSConfig {
	if group != nil {
		for _, network := range group.Networks {
			if network.DNS != nil {
				return network.DNS
			}
		}
	}
	if alloc.NetworkStatus != nil {
		return alloc.NetworkStatus.DNS
	}
	return nil
}

// mounts shows the host volumes that the task asks for.
func (r *Runner) mounts(alloc *structs.Allocation, task *structs.Task) ([]drivers.Mount, error) {
	group := alloc.Job.LookupTaskGroup(alloc.TaskGroup)
	var out []drivers.Mount
	for _, m := range task.VolumeMounts {
		name := structs.Value(m.Volume)
		var request *structs.VolumeRequest
		if group != nil {
			request = group.Volumes[name]
		}
		if request == nil {
			return nil, fmt.Errorf("volume %q is not declared in group %q", name, alloc.TaskGroup)
		}
		if request.Type != "" && request.Type != "host" {
			return nil, fmt.Errorf("volume %q is of type %q: only host volumes are built yet", name, request.Type)
		}
		source := request.Source
		if request.PerAlloc {
			source += fmt.Sprintf("[%d]", alloc.Index())
		}
		volume := r.host.Node().HostVolumes[source]
		if volume == nil {
			return nil, fmt.Errorf("host volume %q is not offered by this node", source)
		}
		out = append(out, drivers.Mount{
			TaskPath:        structs.Value(m.Destination),
			HostPath:        volume.Path,
			ReadOnly:        volume.ReadOnly || request.ReadOnly || structs.Value(m.ReadOnly),
			PropagationMode: structs.Value(m.PropagationMode),
			SELinuxLabel:    structs.Value(m.SELinuxLabel),
			RequestName:     name,
		})
	}
	return out, nil
}
