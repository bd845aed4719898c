package node

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

// Before is what a node was before a history begins, as servers know it.
type Before struct {
	Node *structs.Node
	// Allocs are its allocations that may run.
	Allocs []*structs.Allocation
}

// remember has the node's disk and engine be as if its agent had run before.
func (n *Node) remember(b *Before) error {
	n.disk.identity = local.Identity{NodeID: b.Node.ID, SecretID: b.Node.SecretID}
	disk := memory{d: &n.disk, m: n.cfg.Runtime.Machine(n.cfg.Name + "#0")}
	for _, a := range b.Allocs {
		tasks := map[string]*local.Task{}
		for _, name := range slices.Sorted(maps.Keys(a.TaskStates)) {
			if s := a.TaskStates[name]; s.State != structs.TaskStatePending || !s.StartedAt.IsZero() {
				tasks[name] = n.recall(a, name)
			}
		}
		if len(tasks) == 0 {
			continue // the agent has not begun with it
		}
		if err := write(disk, a, tasks); err != nil {
			return fmt.Errorf("recall allocation %s: %w", a.ID, err)
		}
	}
	if _, err := disk.Allocs(); err != nil {
		return fmt.Errorf("recall allocations: %w", err)
	}
	n.disk.writes = 0
	return nil
}

func write(disk memory, a *structs.Allocation, tasks map[string]*local.Task) error {
	if err := disk.PutAlloc(&local.Alloc{Alloc: a, Health: a.DeploymentStatus, Prepared: true}); err != nil {
		return err
	}
	for name, t := range tasks {
		if err := disk.PutTask(a.ID, name, t); err != nil {
			return err
		}
	}
	return nil
}

// recall is what the agent has written down of a task. One that runs does.
func (n *Node) recall(a *structs.Allocation, name string) *local.Task {
	t := &local.Task{State: a.TaskStates[name]}
	group := a.Job.LookupTaskGroup(a.TaskGroup)
	if t.State.State != structs.TaskStateRunning || group == nil || group.LookupTask(name) == nil {
		return t
	}
	task := group.LookupTask(name)
	var s spec
	if task.Driver == DriverName {
		s, _ = specOf(task.Config) // what can't be read runs until it is stopped
	}
	t.Intent, t.TaskID = local.IntentRun, a.ID+"/"+name+"/"+a.ID[:8]
	config := &drivers.TaskConfig{
		ID: t.TaskID, Name: name, AllocID: a.ID, TaskGroup: a.TaskGroup, JobID: a.JobID, JobName: a.Job.GetName(),
		Namespace: a.Namespace, NodeID: a.NodeID, NodeName: n.cfg.Before.Node.Name, Config: s.encode(),
	}
	t.Handle = handleOf(config)
	n.engine.begin(config, s, max(0, t.State.StartedAt.Add(s.RunFor).Sub(n.cfg.Runtime.Now())))
	return t
}

// described is how servers know the node, with the driver of simulated tasks
// added to its own; nil for one that is new.
func (n *Node) described() *structs.Node {
	if n.cfg.Before == nil {
		return nil
	}
	d := n.cfg.Before.Node.Clone()
	d.Status, d.StatusDescription = structs.NodeStatusReady, ""
	if d.Drivers == nil {
		d.Drivers = map[string]*structs.DriverInfo{}
	}
	if d.Attributes == nil {
		d.Attributes = map[string]string{}
	}
	if d.Drivers[DriverName] == nil {
		d.Drivers[DriverName] = &structs.DriverInfo{UpdateTime: time.Unix(0, 0).UTC()}
	}
	info := *d.Drivers[DriverName]
	info.Detected, info.Healthy = true, true
	d.Drivers[DriverName], d.Attributes["driver."+DriverName] = &info, "1"
	return d
}
