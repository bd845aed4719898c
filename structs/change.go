package structs

import "reflect"

// Change says what a changed field means for allocations that run. It is what
// the `change` tag of every field of a job states:
//
//	inplace  the allocation takes the new value where it runs
//	replace  the allocation must be stopped and started anew
//	ignore   bookkeeping, or without effect: no change of the specification
//
// A block that is tagged replace or ignore is so with all its contents; in a
// block that is tagged inplace the tags of its own fields decide.
type Change int

// What a change means, weakest first.
const (
	ChangeNone Change = iota
	ChangeInPlace
	ChangeReplace
)

// SpecChanged reports whether b asks for anything else than a: whether
// registering b over a makes a new version.
func SpecChanged(a, b *Job) bool {
	return changeBetween(reflect.ValueOf(a), reflect.ValueOf(b), ChangeInPlace) != ChangeNone
}

// TasksUpdated reports whether an allocation of the group that runs a must be
// replaced to run b. It does so too when either job lacks the group.
func TasksUpdated(a, b *Job, group string) bool {
	return GroupChange(a, b, group) == ChangeReplace
}

// GroupChange says what the change from a to b means for an allocation of the
// group: its own part of the job, and what the job says for all groups.
func GroupChange(a, b *Job, group string) Change {
	ga, gb := a.LookupTaskGroup(group), b.LookupTaskGroup(group)
	if ga == nil || gb == nil {
		return ChangeReplace
	}
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	found := structChange(va, vb, ChangeInPlace, "TaskGroups")
	va, vb = reflect.ValueOf(ga).Elem(), reflect.ValueOf(gb).Elem()
	found = max(found, structChange(va, vb, ChangeInPlace, "Tasks"))
	return max(found, tasksChange(ga, gb))
}

// tasksChange compares the tasks of two groups by name: their order means
// nothing, a task that came or went means a restart.
func tasksChange(a, b *TaskGroup) Change {
	if len(a.Tasks) != len(b.Tasks) {
		return ChangeReplace
	}
	found := ChangeNone
	for _, ta := range a.Tasks {
		tb := b.LookupTask(ta.Name)
		if tb == nil {
			return ChangeReplace
		}
		found = max(found, structChange(reflect.ValueOf(ta).Elem(), reflect.ValueOf(tb).Elem(), ChangeInPlace, ""))
	}
	return found
}

// changeBetween returns class, or what the tags below say if they are stricter,
// when a and b differ, else ChangeNone.
func changeBetween(a, b reflect.Value, class Change) Change {
	switch a.Kind() {
	case reflect.Pointer:
		switch {
		case a.IsNil() && b.IsNil() || !a.IsNil() && a.Pointer() == b.Pointer():
			return ChangeNone
		case a.IsNil() || b.IsNil():
			return class
		}
		return changeBetween(a.Elem(), b.Elem(), class)
	case reflect.Struct:
		return structChange(a, b, class, "")
	case reflect.Slice:
		return sliceChange(a, b, class)
	case reflect.Map:
		return mapChange(a, b, class)
	case reflect.Interface:
		if sameAny(a.Interface(), b.Interface()) {
			return ChangeNone
		}
	default:
		if a.Equal(b) {
			return ChangeNone
		}
	}
	return class
}

func structChange(a, b reflect.Value, class Change, skip string) Change {
	found := ChangeNone
	for i := range a.NumField() {
		field := a.Type().Field(i)
		tag := field.Tag.Get("change")
		if tag == "ignore" || field.Name == skip {
			continue
		}
		inner := class
		if tag == "replace" {
			inner = ChangeReplace
		}
		found = max(found, changeBetween(a.Field(i), b.Field(i), inner))
		if found == ChangeReplace {
			break
		}
	}
	return found
}

func sliceChange(a, b reflect.Value, class Change) Change {
	if a.Len() != b.Len() {
		return class
	}
	found := ChangeNone
	for i := range a.Len() {
		found = max(found, changeBetween(a.Index(i), b.Index(i), class))
	}
	return found
}

func mapChange(a, b reflect.Value, class Change) Change {
	if a.Len() != b.Len() {
		return class
	}
	found := ChangeNone
	for it := a.MapRange(); it.Next(); {
		other := b.MapIndex(it.Key())
		if !other.IsValid() {
			return class
		}
		found = max(found, changeBetween(it.Value(), other, class))
	}
	return found
}

// sameAny compares free-form values, as drivers' configurations are. Numbers
// are equal by value: JSON makes floats of what HCL and msgpack keep integers.
func sameAny(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	if !va.IsValid() || !vb.IsValid() {
		return va.IsValid() == vb.IsValid()
	}
	fa, numA := number(va)
	fb, numB := number(vb)
	if numA || numB {
		return numA && numB && fa == fb
	}
	if va.Kind() != vb.Kind() {
		return false
	}
	switch va.Kind() {
	case reflect.Slice:
		return sameList(va, vb)
	case reflect.Map:
		return sameMap(va, vb)
	}
	return reflect.DeepEqual(a, b)
}

func sameList(a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if !sameAny(a.Index(i).Interface(), b.Index(i).Interface()) {
			return false
		}
	}
	return true
}

func sameMap(a, b reflect.Value) bool {
	if a.Len() != b.Len() || a.Type().Key() != b.Type().Key() {
		return false
	}
	for it := a.MapRange(); it.Next(); {
		other := b.MapIndex(it.Key())
		if !other.IsValid() || !sameAny(it.Value().Interface(), other.Interface()) {
			return false
		}
	}
	return true
}

func number(v reflect.Value) (float64, bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}
