package alloc

import (
	"iter"
	"slices"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/structs"
)

// View is one allocation at one moment. Reading single facts from it is cheap;
// Allocation makes the whole object.
type View struct {
	batch *Batch
	row   uint32
}

// Valid reports whether there is an allocation.
func (v View) Valid() bool { return v.batch != nil && v.Row().Node != nil }

// Row returns the row; it must not be changed.
func (v View) Row() *Row { return v.batch.row(v.row) }

// Batch returns the batch that the row belongs to, and the row's number.
func (v View) Batch() (*Batch, uint32) { return v.batch, v.row }

// Ref returns where the row is found in later versions of the table.
func (v View) Ref() Ref { return Ref{v.batch.seq, v.row} }

// ID returns the allocation's ID.
func (v View) ID() string { return ids.Format(v.batch.id(v.row)) }

// Shared returns what the allocation shares with others.
func (v View) Shared() *Shared { return v.batch.sharedOf(v.Row()) }

// Name returns the allocation's name, job.group[index].
func (v View) Name() string {
	return structs.AllocName(v.batch.shared.JobID, v.batch.shared.Group, v.Row().NameIndex)
}

// Plain is Allocation().Plain() without making the object.
func (v View) Plain() (p structs.PlainAlloc, ok bool) {
	r := v.Row()
	if r.Canary || r.Placed != nil && (r.Placed.Previous != "" || r.Placed.Reschedule != nil) {
		return p, false
	}
	if d := r.Decided; d != nil && (d.Followup != "" || d.Next != "" || d.PreemptedBy != "" || d.Transition != (structs.DesiredTransition{})) {
		return p, false
	}
	s := v.Shared()
	return structs.PlainAlloc{
		Job: s.Job, Group: s.Group, NodeID: r.Node.ID, DeploymentID: s.DeploymentID, NameIndex: r.NameIndex,
		DesiredStatus: r.Desired.String(), ClientStatus: r.Client.String(), Healthy: structs.Value(r.Healthy()),
		CreateTime: s.CreateTime,
	}, true
}

// Allocation returns the whole object.
func (v View) Allocation() *structs.Allocation {
	a := v.Outline()
	if p := v.Row().Reported; p != nil {
		a.TaskStates = p.TaskStates.Map()
	}
	return a
}

// Outline is Allocation without TaskStates, which are most of the work of making
// it.
func (v View) Outline() *structs.Allocation {
	r, s := v.Row(), v.Shared()
	a := &structs.Allocation{
		ID:                 v.ID(),
		Namespace:          s.Namespace,
		EvalID:             s.EvalID,
		Name:               v.Name(),
		NodeID:             r.Node.ID,
		NodeName:           r.Node.Name,
		JobID:              s.JobID,
		Job:                s.Job,
		TaskGroup:          s.Group,
		AllocatedResources: r.resources(s),
		Metrics:            s.Metrics,
		DesiredStatus:      r.Desired.String(),
		ClientStatus:       r.Client.String(),
		DeploymentID:       s.DeploymentID,
		DeploymentStatus:   v.health(),
		CreateIndex:        v.batch.shared.CreateIndex,
		CreateTime:         v.batch.shared.CreateTime,
		ModifyIndex:        r.Modify,
		AllocModifyIndex:   r.ServerModify,
		ModifyTime:         r.ModifyTime,
	}
	if p := r.Placed; p != nil {
		a.PreviousAllocation, a.RescheduleTracker = p.Previous, p.Reschedule
		if p.Metrics != nil {
			a.Metrics = p.Metrics
		}
	}
	if d := r.Decided; d != nil {
		a.DesiredDescription, a.DesiredTransition = d.Description, d.Transition
		a.FollowupEvalID, a.NextAllocation = d.Followup, d.Next
		a.PreemptedByAllocation, a.PreemptedAllocations = d.PreemptedBy, d.Preempted
	}
	if p := r.Reported; p != nil {
		a.ClientDescription, a.NetworkStatus = p.Description, p.Network
	}
	return a
}

// Outlines are the outlines of allocations, for who judges them one by one.
func Outlines(views iter.Seq[View]) iter.Seq[*structs.Allocation] {
	return func(yield func(*structs.Allocation) bool) {
		for v := range views {
			if !yield(v.Outline()) {
				return
			}
		}
	}
}

func (v View) health() *structs.AllocDeploymentStatus {
	r := v.Row()
	switch {
	case r.Reported != nil && r.Reported.Health != nil:
		h := *r.Reported.Health
		h.Canary = r.Canary
		return &h
	case r.Canary:
		return &structs.AllocDeploymentStatus{Canary: true, ModifyIndex: v.batch.shared.CreateIndex}
	}
	return nil
}

// resources returns what is shared completed by the row's ports, devices and
// cores.
func (r *Row) resources(s *Shared) *structs.AllocatedResources {
	p := r.Placed
	if s.Resources == nil || p == nil || p.Ports == nil && p.Devices == nil && p.Cores == nil {
		return s.Resources
	}
	out := *s.Resources
	if p.Ports != nil {
		out.Shared.Ports = slices.Concat(s.Resources.Shared.Ports, p.Ports)
		out.Shared.Networks = withPorts(s.Resources.Shared.Networks, p.Ports)
	}
	if len(p.Devices)+len(p.Cores) > 0 {
		out.Tasks = make(map[string]*structs.AllocatedTaskResources, len(s.Resources.Tasks))
		for name, t := range s.Resources.Tasks {
			task := *t
			if devices, ok := p.Devices[name]; ok {
				task.Devices = devices
			}
			if cores, ok := p.Cores[name]; ok {
				task.Cpu.ReservedCores = cores
			}
			out.Tasks[name] = &task
		}
	}
	return &out
}

// withPorts fills the values of ports, matched by label, and the address that
// they are on into copies of the networks.
func withPorts(networks []*structs.NetworkResource, ports []structs.PortMapping) []*structs.NetworkResource {
	if len(networks) == 0 {
		return networks
	}
	fill := func(asked []structs.Port) []structs.Port {
		filled := slices.Clone(asked)
		for i := range filled {
			for _, p := range ports {
				if p.Label == filled[i].Label {
					filled[i].Value, filled[i].To = p.Value, p.To
				}
			}
		}
		return filled
	}
	out := make([]*structs.NetworkResource, 0, len(networks))
	for _, n := range networks {
		if n == nil {
			continue
		}
		network := *n
		network.ReservedPorts, network.DynamicPorts = fill(n.ReservedPorts), fill(n.DynamicPorts)
		if network.IP == "" && len(ports) > 0 {
			network.IP = ports[0].HostIP
		}
		out = append(out, &network)
	}
	return out
}
