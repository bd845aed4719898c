package structs

import (
	"cmp"
	"reflect"
	"slices"
)

// Types of differences.
const (
	DiffNone    = "None"
	DiffAdded   = "Added"
	DiffDeleted = "Deleted"
	DiffEdited  = "Edited"
)

// Diff tells what changes when next takes the place of j. Either may be nil.
// Both are canonical. Groups and tasks are always listed, changed or not;
// contextual adds the unchanged fields of what is listed.
func (j *Job) Diff(next *Job, contextual bool) *JobDiff {
	d := differ{contextual: contextual}
	a, b := side(j), side(next)
	out := &JobDiff{}
	out.Fields, out.Objects = d.contents(a, b, reflect.TypeFor[Job](), "ID", "TaskGroups", "Update")
	var old, fresh []*TaskGroup
	if j != nil {
		out.ID, old = j.GetID(), j.TaskGroups
	}
	if next != nil {
		out.ID, fresh = next.GetID(), next.TaskGroups
	}
	changed := anyChange(out.Fields, out.Objects)
	for _, p := range pairUp(old, fresh, (*TaskGroup).GetName) {
		g := d.group(p[0], p[1])
		changed = changed || g.Type != DiffNone
		out.TaskGroups = append(out.TaskGroups, g)
	}
	out.Type = diffType(j != nil, next != nil, changed)
	return out
}

func (d differ) group(old, fresh *TaskGroup) *TaskGroupDiff {
	out := &TaskGroupDiff{}
	out.Fields, out.Objects = d.contents(side(old), side(fresh), reflect.TypeFor[TaskGroup](), "Name", "Tasks")
	var before, after []*Task
	if old != nil {
		out.Name, before = old.GetName(), old.Tasks
	}
	if fresh != nil {
		out.Name, after = fresh.GetName(), fresh.Tasks
	}
	changed := anyChange(out.Fields, out.Objects)
	for _, p := range pairUp(before, after, func(t *Task) string { return t.Name }) {
		t := d.task(p[0], p[1])
		changed = changed || t.Type != DiffNone
		out.Tasks = append(out.Tasks, t)
	}
	out.Type = diffType(old != nil, fresh != nil, changed)
	return out
}

func (d differ) task(old, fresh *Task) *TaskDiff {
	out := &TaskDiff{change: ChangeReplace}
	out.Fields, out.Objects = d.contents(side(old), side(fresh), reflect.TypeFor[Task](), "Name")
	if old != nil {
		out.Name = old.Name
	}
	if fresh != nil {
		out.Name = fresh.Name
	}
	if old != nil && fresh != nil {
		out.change = structChange(reflect.ValueOf(old).Elem(), reflect.ValueOf(fresh).Elem(), ChangeInPlace, "")
	}
	out.Type = diffType(old != nil, fresh != nil, anyChange(out.Fields, out.Objects))
	return out
}

// What a plan does to allocations, as keys of TaskGroupDiff.Updates.
const (
	UpdateIgnore      = "ignore"
	UpdateCreate      = "create"
	UpdateDestroy     = "destroy"
	UpdateMigrate     = "migrate"
	UpdateCanary      = "canary"
	UpdateInPlace     = "in-place update"
	UpdateDestructive = "create/destroy update"
)

// What a change forces, as annotations of fields and tasks.
const (
	ForcesCreate      = "forces create"
	ForcesDestroy     = "forces destroy"
	ForcesInPlace     = "forces in-place update"
	ForcesDestructive = "forces create/destroy update"
)

// Annotate adds to a diff that was just made what the plan would do.
func Annotate(diff *JobDiff, plan *PlanAnnotations) {
	if diff == nil {
		return
	}
	for _, g := range diff.TaskGroups {
		if plan != nil && plan.DesiredTGUpdates[g.Name] != nil {
			g.Updates = plan.DesiredTGUpdates[g.Name].counts()
		}
		for _, f := range g.Fields {
			if f.Name == "Count" {
				annotateCount(f)
			}
		}
		for _, t := range g.Tasks {
			annotateTask(t, g)
		}
	}
}

func (u *DesiredUpdates) counts() map[string]uint64 {
	out := map[string]uint64{}
	for key, n := range map[string]uint64{
		UpdateIgnore: u.Ignore, UpdateCreate: u.Place, UpdateDestroy: u.Stop,
		UpdateMigrate: u.Migrate, UpdateCanary: u.Canary,
		UpdateInPlace: u.InPlaceUpdate, UpdateDestructive: u.DestructiveUpdate,
	} {
		if n > 0 {
			out[key] = n
		}
	}
	return out
}

func annotateCount(f *FieldDiff) {
	less := len(f.New) < len(f.Old) || len(f.New) == len(f.Old) && f.New < f.Old
	switch {
	case f.Type == DiffNone:
	case f.Type == DiffDeleted, f.Type == DiffEdited && less:
		f.Annotations = append(f.Annotations, ForcesDestroy)
	default:
		f.Annotations = append(f.Annotations, ForcesCreate)
	}
}

func annotateTask(t *TaskDiff, g *TaskGroupDiff) {
	switch {
	case t.Type == DiffNone:
	case g.Type == DiffAdded:
		t.Annotations = append(t.Annotations, ForcesCreate)
	case g.Type == DiffDeleted:
		t.Annotations = append(t.Annotations, ForcesDestroy)
	case t.change == ChangeReplace:
		t.Annotations = append(t.Annotations, ForcesDestructive)
	default:
		t.Annotations = append(t.Annotations, ForcesInPlace)
	}
}

// pairUp brings together what has the same name, sorted by name.
func pairUp[T any](old, fresh []*T, name func(*T) string) [][2]*T {
	byName := map[string]*[2]*T{}
	for i, list := range [][]*T{old, fresh} {
		for _, e := range list {
			if byName[name(e)] == nil {
				byName[name(e)] = &[2]*T{}
			}
			byName[name(e)][i] = e
		}
	}
	out := make([][2]*T, 0, len(byName))
	for _, n := range mapKeys(byName) {
		out = append(out, *byName[n])
	}
	return out
}

// side is one side of a comparison: the struct, or nothing.
func side[T any](p *T) reflect.Value {
	if p == nil {
		return reflect.Value{}
	}
	return reflect.ValueOf(p).Elem()
}

func diffType(before, after, changed bool) string {
	switch {
	case !before && !after:
		return DiffNone
	case !before:
		return DiffAdded
	case !after:
		return DiffDeleted
	case changed:
		return DiffEdited
	}
	return DiffNone
}

func anyChange(fields []*FieldDiff, objects []*ObjectDiff) bool {
	return slices.ContainsFunc(fields, func(f *FieldDiff) bool { return f.Type != DiffNone }) ||
		slices.ContainsFunc(objects, func(o *ObjectDiff) bool { return o.Type != DiffNone })
}

func sortDiffs(fields []*FieldDiff, objects []*ObjectDiff) {
	slices.SortStableFunc(fields, func(a, b *FieldDiff) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Old, b.Old), cmp.Compare(a.New, b.New))
	})
	slices.SortStableFunc(objects, func(a, b *ObjectDiff) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
}
