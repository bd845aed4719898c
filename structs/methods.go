package structs

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// NamespacedID names an object that is unique within its namespace.
type NamespacedID struct {
	Namespace string
	ID        string
}

// String returns the name as namespace/id.
func (n NamespacedID) String() string { return n.Namespace + "/" + n.ID }

// AllocName returns the name of the index-th allocation of a group:
// job.group[index].
func AllocName(job, group string, index uint32) string {
	return job + "." + group + "[" + strconv.FormatUint(uint64(index), 10) + "]"
}

// AllocIndex returns the number in an allocation's name, and whether there is
// one.
func AllocIndex(name string) (uint32, bool) {
	open := strings.LastIndexByte(name, '[')
	if open < 0 || !strings.HasSuffix(name, "]") {
		return 0, false
	}
	n, err := strconv.ParseUint(name[open+1:len(name)-1], 10, 32)
	return uint32(n), err == nil
}

// NamespacedID returns the job's name across namespaces.
func (j *Job) NamespacedID() NamespacedID {
	return NamespacedID{Namespace: j.GetNamespace(), ID: j.GetID()}
}

// LookupTaskGroup returns the group of that name, or nil.
func (j *Job) LookupTaskGroup(name string) *TaskGroup {
	if j == nil {
		return nil
	}
	for _, g := range j.TaskGroups {
		if g.GetName() == name {
			return g
		}
	}
	return nil
}

// CombinedTaskMeta returns the meta that a task sees: its own over its group's
// over its job's.
func (j *Job) CombinedTaskMeta(group, task string) map[string]string {
	out := map[string]string{}
	layers := []map[string]string{j.Meta}
	if g := j.LookupTaskGroup(group); g != nil {
		layers = append(layers, g.Meta)
		if t := g.LookupTask(task); t != nil {
			layers = append(layers, t.Meta)
		}
	}
	for _, layer := range layers {
		for k, v := range layer {
			out[k] = v
		}
	}
	return out
}

// TerminalStatus reports whether the allocation is done: the servers want it
// gone, or the client says it ended.
func (a *Allocation) TerminalStatus() bool {
	return a.ServerTerminal() || a.ClientTerminal()
}

// ServerTerminal reports whether the servers want the allocation gone.
func (a *Allocation) ServerTerminal() bool {
	return a.DesiredStatus == AllocDesiredStop || a.DesiredStatus == AllocDesiredEvict
}

// ClientTerminal reports whether the allocation's tasks have ended for good.
// A lost allocation is terminal, an unknown one is not.
func (a *Allocation) ClientTerminal() bool { return ClientTerminal(a.ClientStatus) }

// ClientTerminal reports whether a client status is final.
func ClientTerminal(status string) bool {
	return status == AllocClientComplete || status == AllocClientFailed || status == AllocClientLost
}

// Index returns the number in the allocation's name, 0 if there is none.
func (a *Allocation) Index() uint32 {
	n, _ := AllocIndex(a.Name)
	return n
}

// JobNamespacedID returns the name of the allocation's job across namespaces.
func (a *Allocation) JobNamespacedID() NamespacedID {
	return NamespacedID{Namespace: a.Namespace, ID: a.JobID}
}

// JobVersion returns the version of the job that the allocation runs.
func (a *Allocation) JobVersion() uint64 {
	if a.Job == nil {
		return 0
	}
	return a.Job.GetVersion()
}

// IsHealthy reports whether a deployment has found the allocation healthy.
func (s *AllocDeploymentStatus) IsHealthy() bool { return s != nil && Value(s.Healthy) }

// IsUnhealthy reports whether a deployment has found the allocation unhealthy.
func (s *AllocDeploymentStatus) IsUnhealthy() bool {
	return s != nil && s.Healthy != nil && !*s.Healthy
}

// WaitsFor says what an allocation waits for before it leaves its node, as the last
// healthy one of its group; "" if it doesn't.
func (a *Allocation) WaitsFor() string {
	switch {
	case a.TerminalStatus() || !a.DesiredTransition.Lasts():
		return ""
	case a.NextAllocation == "":
		return "a replacement to be placed and healthy"
	}
	return "its replacement to be healthy"
}

// IsCanary reports whether the allocation is a canary that was not promoted.
func (s *AllocDeploymentStatus) IsCanary() bool { return s != nil && s.Canary }

// HasHealth reports whether a deployment has judged the allocation.
func (s *AllocDeploymentStatus) HasHealth() bool { return s != nil && s.Healthy != nil }

// Terminal reports whether nothing more will be done for the evaluation.
func (e *Evaluation) Terminal() bool {
	switch e.Status {
	case EvalStatusComplete, EvalStatusFailed, EvalStatusCancelled:
		return true
	}
	return false
}

// JobNamespacedID returns the name of the evaluation's job across namespaces.
func (e *Evaluation) JobNamespacedID() NamespacedID {
	return NamespacedID{Namespace: e.Namespace, ID: e.JobID}
}

// Active reports whether the deployment is still under way.
func (d *Deployment) Active() bool {
	if d == nil {
		return false
	}
	switch d.Status {
	case DeploymentStatusRunning, DeploymentStatusPaused, DeploymentStatusInitializing,
		DeploymentStatusPending, DeploymentStatusBlocked, DeploymentStatusUnblocking:
		return true
	}
	return false
}

// HasPlacedCanaries reports whether any group has canaries.
func (d *Deployment) HasPlacedCanaries() bool {
	if d == nil {
		return false
	}
	for _, g := range d.TaskGroups {
		if len(g.PlacedCanaries) > 0 {
			return true
		}
	}
	return false
}

// RequiresPromotion reports whether a group waits for its canaries to be
// promoted.
func (d *Deployment) RequiresPromotion() bool {
	if d == nil || d.Status != DeploymentStatusRunning {
		return false
	}
	for _, g := range d.TaskGroups {
		if g.DesiredCanaries > 0 && !g.Promoted {
			return true
		}
	}
	return false
}

// RunningDescription is what is told of a deployment of a job while it runs: whether
// it waits for a person to promote canaries, or promotes them itself.
func (d *Deployment) RunningDescription(j *Job) string {
	out := DescDeploymentRunning
	for name, g := range d.TaskGroups {
		if g.DesiredCanaries == 0 || g.Promoted {
			continue
		}
		if tg := j.LookupTaskGroup(name); tg == nil || tg.Update == nil || !Value(tg.Update.AutoPromote) {
			return DescDeploymentRunningNeedsPromote
		}
		out = DescDeploymentRunningAutoPromote
	}
	return out
}

// Ready reports whether the node takes placements: up, heard of, not in
// quarantine, eligible, not draining.
func (n *Node) Ready() bool {
	return n.Status == NodeStatusReady && n.SilentSince == 0 && n.QuarantineUntil == 0 && n.DrainStrategy == nil && !n.Drain &&
		n.SchedulingEligibility != NodeIneligible
}

// NodeTerminal reports whether a node status means that its allocations are
// out of reach for good.
func NodeTerminal(status string) bool { return status == NodeStatusDown }

// InPool reports whether the node belongs to the named pool; every node
// belongs to "all".
func (n *Node) InPool(pool string) bool { return pool == NodePoolAll || n.NodePool == pool }

// InDatacenters reports whether one of the patterns, in which * stands for any
// text, matches the node's datacenter, or there are none.
func (n *Node) InDatacenters(patterns []string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return glob(p, n.Datacenter) })
}

// glob matches text against a pattern in which * stands for any text.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, middle := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, middle)
		if at < 0 {
			return false
		}
		rest = rest[at+len(middle):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// Comparable is a sum of what allocations use, or of what a node offers.
type Comparable struct {
	CPU         int64 // MHz
	MemoryMB    int64
	MemoryMaxMB int64 // limit, where it is above MemoryMB
	DiskMB      int64
}

// Add adds o.
func (c *Comparable) Add(o Comparable) {
	c.CPU += o.CPU
	c.MemoryMB += o.MemoryMB
	c.MemoryMaxMB += o.MemoryMaxMB
	c.DiskMB += o.DiskMB
}

// Subtract takes o away.
func (c *Comparable) Subtract(o Comparable) {
	c.CPU -= o.CPU
	c.MemoryMB -= o.MemoryMB
	c.MemoryMaxMB -= o.MemoryMaxMB
	c.DiskMB -= o.DiskMB
}

// Exceeds returns the dimension ("cpu", "memory", "disk") in which c is more
// than limit, or "".
func (c Comparable) Exceeds(limit Comparable) string {
	switch {
	case c.CPU > limit.CPU:
		return "cpu"
	case c.MemoryMB > limit.MemoryMB:
		return "memory"
	case c.DiskMB > limit.DiskMB:
		return "disk"
	}
	return ""
}

// Comparable returns the sum over the allocation's tasks and shared parts.
func (r *AllocatedResources) Comparable() Comparable {
	if r == nil {
		return Comparable{}
	}
	sum := Comparable{DiskMB: r.Shared.DiskMB}
	for _, t := range r.Tasks {
		sum.Add(Comparable{
			CPU:         t.Cpu.CpuShares,
			MemoryMB:    t.Memory.MemoryMB,
			MemoryMaxMB: max(t.Memory.MemoryMB, t.Memory.MemoryMaxMB),
		})
	}
	return sum
}

// Comparable returns what the node offers to allocations: its resources less
// what is reserved.
func (n *Node) Comparable() Comparable {
	var out Comparable
	if r := n.NodeResources; r != nil {
		out = Comparable{CPU: r.Cpu.CpuShares, MemoryMB: r.Memory.MemoryMB, DiskMB: r.Disk.DiskMB}
	}
	if r := n.ReservedResources; r != nil {
		out.Subtract(Comparable{
			CPU:      int64(r.Cpu.CpuShares),
			MemoryMB: int64(r.Memory.MemoryMB),
			DiskMB:   int64(r.Disk.DiskMB),
		})
	}
	out.MemoryMaxMB = out.MemoryMB
	return out
}

// MHzPerCore returns the share of the node's compute that one of its cores is.
func (n *Node) MHzPerCore() int64 {
	if n.NodeResources == nil {
		return 0
	}
	cpu := &n.NodeResources.Cpu
	cores := max(int64(cpu.TotalCpuCores), int64(len(cpu.ReservableCpuCores)))
	if cores == 0 {
		return 0
	}
	return cpu.CpuShares / cores
}

// AllocatedResources returns what one allocation of the group takes, host
// ports and devices aside.
func (g *TaskGroup) AllocatedResources() *AllocatedResources {
	out := &AllocatedResources{Tasks: make(map[string]*AllocatedTaskResources, len(g.Tasks))}
	out.Shared.Networks = g.Networks
	if g.EphemeralDisk != nil {
		out.Shared.DiskMB = int64(Value(g.EphemeralDisk.SizeMB))
	}
	for _, t := range g.Tasks {
		var task AllocatedTaskResources
		if r := t.Resources; r != nil {
			task.Cpu.CpuShares = int64(Value(r.CPU))
			task.Memory.MemoryMB = int64(Value(r.MemoryMB))
			task.Memory.MemoryMaxMB = int64(Value(r.MemoryMaxMB))
		}
		out.Tasks[t.Name] = &task
	}
	return out
}

// SortTaskEvents orders events by time.
func SortTaskEvents(events []*TaskEvent) {
	slices.SortStableFunc(events, func(a, b *TaskEvent) int { return cmp.Compare(a.Time, b.Time) })
}

// Successful reports whether the task ended well.
func (s *TaskState) Successful() bool {
	return s != nil && s.State == TaskStateDead && !s.Failed
}
