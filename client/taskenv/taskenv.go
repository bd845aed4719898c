// Package taskenv makes the environment that a task finds itself in: the
// NOMAD_* variables, its own env block, and the values that ${…} stands for in
// everything that is resolved on the node.
//
// It must not know how tasks are run. It reads values and touches nothing.
// Begin reading at Build.
package taskenv

import (
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/cpuset"
	"github.com/steppe-run/steppe/structs"
)

// Paths are a task's directories as it sees them itself.
type Paths struct {
	Alloc, Local, Secrets string
}

// Input is what an environment is made of.
type Input struct {
	Node   *structs.Node
	Region string
	Alloc  *structs.Allocation
	// Task is nil for what belongs to the group as a whole.
	Task  *structs.Task
	Paths Paths
	// Host are variables of the agent's own environment that the task may
	// see; NOMAD_* and the task's env win over them.
	Host map[string]string
	// Network is where the driver says that the task is reached, if it does.
	Network *drivers.Network
	// Devices are variables that reserved devices ask for.
	Devices map[string]string
}

// Env is a finished environment.
type Env struct {
	vars map[string]string
	node map[string]string
}

// Build makes the environment of a task, or of a group's services.
func Build(in Input) *Env {
	e := &Env{vars: maps.Clone(in.Host), node: nodeValues(in.Node, in.Region)}
	if e.vars == nil {
		e.vars = map[string]string{}
	}
	e.identity(in)
	e.limits(in)
	e.paths(in.Paths)
	e.ports(in)
	e.meta(in)
	maps.Copy(e.vars, in.Devices)
	if in.Task != nil {
		own := make(map[string]string, len(in.Task.Env))
		for key, value := range in.Task.Env {
			own[e.Replace(key)] = e.Replace(value)
		}
		maps.Copy(e.vars, own)
	}
	return e
}

// Map returns a copy of the variables.
func (e *Env) Map() map[string]string { return maps.Clone(e.vars) }

// Get returns one variable, "" if it isn't set.
func (e *Env) Get(name string) string { return e.vars[name] }

// List returns the variables as sorted NAME=value lines.
func (e *Env) List() []string {
	out := make([]string, 0, len(e.vars))
	for name, value := range e.vars {
		out = append(out, name+"="+value)
	}
	sort.Strings(out)
	return out
}

// Variables returns everything that ${…} may name: the environment and the
// node's values.
func (e *Env) Variables() map[string]string {
	out := maps.Clone(e.node)
	maps.Copy(out, e.vars)
	return out
}

func (e *Env) identity(in Input) {
	a, job := in.Alloc, in.Alloc.Job
	e.set("NOMAD_ALLOC_ID", a.ID)
	e.set("NOMAD_SHORT_ALLOC_ID", a.ID[:min(8, len(a.ID))])
	e.set("NOMAD_ALLOC_NAME", a.Name)
	e.set("NOMAD_ALLOC_INDEX", strconv.FormatUint(uint64(a.Index()), 10))
	e.set("NOMAD_GROUP_NAME", a.TaskGroup)
	e.set("NOMAD_JOB_ID", a.JobID)
	e.set("NOMAD_NAMESPACE", a.Namespace)
	if job != nil {
		e.set("NOMAD_JOB_NAME", job.GetName())
		e.set("NOMAD_JOB_PARENT_ID", job.GetParentID())
	}
	e.set("NOMAD_REGION", in.Region)
	if in.Node != nil {
		e.set("NOMAD_DC", in.Node.Datacenter)
		e.set("NOMAD_PARENT_CGROUP", in.Node.CgroupParent)
	}
	if in.Task != nil {
		e.set("NOMAD_TASK_NAME", in.Task.Name)
	}
}

func (e *Env) limits(in Input) {
	if in.Task == nil {
		return
	}
	res := TaskResources(in.Alloc, in.Task)
	if res.Cpu.CpuShares > 0 {
		e.set("NOMAD_CPU_LIMIT", strconv.FormatInt(res.Cpu.CpuShares, 10))
	}
	if res.Memory.MemoryMB > 0 {
		e.set("NOMAD_MEMORY_LIMIT", strconv.FormatInt(res.Memory.MemoryMB, 10))
	}
	if res.Memory.MemoryMaxMB > 0 {
		e.set("NOMAD_MEMORY_MAX_LIMIT", strconv.FormatInt(res.Memory.MemoryMaxMB, 10))
	}
	e.vars["NOMAD_CPU_CORES"] = " " // set also where no cores are reserved
	if cores := res.Cpu.ReservedCores; len(cores) > 0 {
		e.vars["NOMAD_CPU_CORES"] = cpuset.Format(slices.Sorted(slices.Values(cores)))
	}
}

// TaskResources is what the scheduler gave a task, or what the task asked for
// where the allocation doesn't say.
func TaskResources(a *structs.Allocation, task *structs.Task) structs.AllocatedTaskResources {
	if a.AllocatedResources != nil {
		if res := a.AllocatedResources.Tasks[task.Name]; res != nil {
			return *res
		}
	}
	var out structs.AllocatedTaskResources
	if r := task.Resources; r != nil {
		out.Cpu.CpuShares = int64(structs.Value(r.CPU))
		out.Memory.MemoryMB = int64(structs.Value(r.MemoryMB))
		out.Memory.MemoryMaxMB = int64(structs.Value(r.MemoryMaxMB))
	}
	return out
}

func (e *Env) paths(p Paths) {
	e.set("NOMAD_ALLOC_DIR", p.Alloc)
	e.set("NOMAD_TASK_DIR", p.Local)
	e.set("NOMAD_SECRETS_DIR", p.Secrets)
}

// meta sets each key of the job's, group's and task's metadata, as written and
// in upper case; the nearer level wins.
func (e *Env) meta(in Input) {
	if in.Alloc.Job == nil {
		return
	}
	task := ""
	if in.Task != nil {
		task = in.Task.Name
	}
	meta := in.Alloc.Job.CombinedTaskMeta(in.Alloc.TaskGroup, task)
	for _, key := range sortedKeys(meta) {
		value := e.Replace(meta[key])
		e.vars["NOMAD_META_"+cleanName(strings.ToUpper(key))] = value
		e.vars["NOMAD_META_"+cleanName(key)] = value
	}
}

// set leaves out what has no value.
func (e *Env) set(name, value string) {
	if value != "" {
		e.vars[name] = value
	}
}

// cleanName turns what can't stand in a variable's name into underscores.
func cleanName(s string) string {
	return strings.Map(func(r rune) rune {
		ok := r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !ok {
			return '_'
		}
		return r
	}, s)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
