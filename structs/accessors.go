package structs

import (
	"strings"
	"time"
)

// Value returns what p points at, or the zero value.
func Value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// ValueOr returns what p points at, or fallback.
func ValueOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}

// GetID returns the job's ID.
func (j *Job) GetID() string { return Value(j.ID) }

// GetName returns the job's name.
func (j *Job) GetName() string { return Value(j.Name) }

// GetNamespace returns the job's namespace, "default" if none was given.
func (j *Job) GetNamespace() string { return ValueOr(j.Namespace, DefaultNamespace) }

// GetType returns the job's type, "service" if none was given.
func (j *Job) GetType() string { return ValueOr(j.Type, JobTypeService) }

// GetPriority returns the job's priority, 50 if none was given.
func (j *Job) GetPriority() int { return ValueOr(j.Priority, JobDefaultPriority) }

// GetRegion returns the job's region.
func (j *Job) GetRegion() string { return Value(j.Region) }

// GetNodePool returns the node pool that the job runs in.
func (j *Job) GetNodePool() string { return ValueOr(j.NodePool, NodePoolDefault) }

// GetVersion returns the number of this version of the job, from 0 on.
func (j *Job) GetVersion() uint64 { return Value(j.Version) }

// SameVersion reports whether two are one version of one job: one that was purged and
// registered again is another job.
func (j *Job) SameVersion(o *Job) bool {
	return j != nil && o != nil && j.GetVersion() == o.GetVersion() && j.GetCreateIndex() == o.GetCreateIndex()
}

// GetStatus returns pending, running or dead.
func (j *Job) GetStatus() string { return Value(j.Status) }

// GetParentID returns the ID of the periodic or parameterized job that this
// job was made from, or "".
func (j *Job) GetParentID() string { return Value(j.ParentID) }

// GetCreateIndex returns the log index at which the job was first stored.
func (j *Job) GetCreateIndex() uint64 { return Value(j.CreateIndex) }

// GetModifyIndex returns the log index at which anything of the job, its
// status included, last changed.
func (j *Job) GetModifyIndex() uint64 { return Value(j.ModifyIndex) }

// GetJobModifyIndex returns the log index at which the specification last
// changed; -check-index compares with it.
func (j *Job) GetJobModifyIndex() uint64 { return Value(j.JobModifyIndex) }

// Stopped reports whether the job was stopped; true for no job at all.
func (j *Job) Stopped() bool { return j == nil || Value(j.Stop) }

// IsStable reports whether a deployment of this version succeeded.
func (j *Job) IsStable() bool { return Value(j.Stable) }

// IsPeriodic reports whether the job is launched by time, not run itself.
func (j *Job) IsPeriodic() bool { return j.Periodic != nil }

// IsPeriodicActive reports whether launches are due: periodic, enabled, not
// stopped and not waiting for parameters.
func (j *Job) IsPeriodicActive() bool {
	return j.IsPeriodic() && ValueOr(j.Periodic.Enabled, true) && !j.Stopped() && !j.IsParameterized()
}

// IsParameterized reports whether the job is a template for dispatches.
func (j *Job) IsParameterized() bool { return j.ParameterizedJob != nil && !j.Dispatched }

// IsTemplate reports whether the job is run only through others that are made
// from it.
func (j *Job) IsTemplate() bool { return j.IsPeriodic() || j.IsParameterized() }

// RunsTwice reports whether an allocation of the group may run beside the one that
// it replaces: it needs neither its data nor a volume that is its own.
func (g *TaskGroup) RunsTwice() bool {
	if d := g.EphemeralDisk; d != nil && (Value(d.Sticky) || Value(d.Migrate)) {
		return false
	}
	for _, v := range g.Volumes {
		if v.OneWriter() || v != nil && (v.PerAlloc || v.Sticky) {
			return false
		}
	}
	return true
}

// OneWriter reports whether one allocation at a time may write to the volume.
func (v *VolumeRequest) OneWriter() bool {
	return v != nil && !v.ReadOnly && (strings.HasSuffix(v.AccessMode, "-single-writer") || v.AccessMode == "single-node-writer")
}

// IsMultiregion reports whether the job runs in several regions.
func (j *Job) IsMultiregion() bool {
	return j.Multiregion != nil && len(j.Multiregion.Regions) > 0
}

// GetName returns the group's name.
func (g *TaskGroup) GetName() string { return Value(g.Name) }

// GetCount returns how many allocations the group wants.
func (g *TaskGroup) GetCount() int { return Value(g.Count) }

// GetShutdownDelay returns how long to wait between withdrawing the group's
// services and killing its tasks.
func (g *TaskGroup) GetShutdownDelay() time.Duration { return Value(g.ShutdownDelay) }

// LookupTask returns the task of that name, or nil.
func (g *TaskGroup) LookupTask(name string) *Task {
	for _, t := range g.Tasks {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// GetKillTimeout returns how long a task may take to end after its signal.
func (t *Task) GetKillTimeout() time.Duration { return ValueOr(t.KillTimeout, 5*time.Second) }

// IsMain reports whether the task is none of the group's pre-, post-start or
// post-stop tasks.
func (t *Task) IsMain() bool { return t.Lifecycle == nil || t.Lifecycle.Hook == "" }

// IsPrestart reports whether the task runs before the main tasks.
func (t *Task) IsPrestart() bool { return t.Lifecycle != nil && t.Lifecycle.Hook == TaskHookPrestart }

// IsPoststart reports whether the task starts once the main tasks run.
func (t *Task) IsPoststart() bool { return t.Lifecycle != nil && t.Lifecycle.Hook == TaskHookPoststart }

// IsPoststop reports whether the task runs after the main tasks ended.
func (t *Task) IsPoststop() bool { return t.Lifecycle != nil && t.Lifecycle.Hook == TaskHookPoststop }
