package structs

import (
	"reflect"
	"time"
)

// Clone returns a copy of the job that shares nothing with it.
func (j *Job) Clone() *Job { return deepCopy(j) }

// Clone returns a copy of the group that shares nothing with it.
func (g *TaskGroup) Clone() *TaskGroup { return deepCopy(g) }

// Clone returns a copy of the task that shares nothing with it.
func (t *Task) Clone() *Task { return deepCopy(t) }

// Clone returns a copy of the node that shares nothing with it.
func (n *Node) Clone() *Node { return deepCopy(n) }

// Clone returns a copy of the evaluation that shares nothing with it.
func (e *Evaluation) Clone() *Evaluation { return deepCopy(e) }

// Clone returns a copy of the deployment that shares nothing with it.
func (d *Deployment) Clone() *Deployment { return deepCopy(d) }

// Clone returns a copy of the metric that shares nothing with it.
func (m *AllocationMetric) Clone() *AllocationMetric { return deepCopy(m) }

// Clone returns a copy of the resources that shares nothing with them.
func (r *AllocatedResources) Clone() *AllocatedResources { return deepCopy(r) }

// Clone returns a copy of the task's state that shares nothing with it.
func (s *TaskState) Clone() *TaskState { return deepCopy(s) }

// Clone returns a copy of the allocation. The job is shared: job versions are
// immutable and by far the largest part.
func (a *Allocation) Clone() *Allocation {
	if a == nil {
		return nil
	}
	shallow := *a
	shallow.Job = nil
	out := deepCopy(&shallow)
	out.Job = a.Job
	return out
}

// CloneValue returns a copy of any of this package's values that shares
// nothing with it.
func CloneValue[T any](v T) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	copyInto(out, reflect.ValueOf(&v).Elem())
	return out.Interface().(T)
}

func deepCopy[T any](p *T) *T {
	if p == nil {
		return nil
	}
	out := new(T)
	copyInto(reflect.ValueOf(out).Elem(), reflect.ValueOf(p).Elem())
	return out
}

// copyInto makes dst, which is zero and settable, a deep copy of src.
func copyInto(dst, src reflect.Value) {
	switch src.Kind() {
	case reflect.Pointer:
		if !src.IsNil() {
			p := reflect.New(src.Type().Elem())
			copyInto(p.Elem(), src.Elem())
			dst.Set(p)
		}
	case reflect.Interface:
		if !src.IsNil() {
			v := reflect.New(src.Elem().Type()).Elem()
			copyInto(v, src.Elem())
			dst.Set(v)
		}
	case reflect.Slice:
		copySlice(dst, src)
	case reflect.Map:
		copyMap(dst, src)
	case reflect.Struct:
		dst.Set(src) // unexported fields: time.Time only, which is a value
		if src.Type() == timeType {
			return
		}
		for i := range src.NumField() {
			if f := src.Field(i); holdsReferences(f.Kind()) {
				dst.Field(i).SetZero()
				copyInto(dst.Field(i), f)
			}
		}
	default:
		dst.Set(src)
	}
}

func copySlice(dst, src reflect.Value) {
	if src.IsNil() {
		return
	}
	out := reflect.MakeSlice(src.Type(), src.Len(), src.Len())
	if holdsReferences(src.Type().Elem().Kind()) {
		for i := range src.Len() {
			copyInto(out.Index(i), src.Index(i))
		}
	} else {
		reflect.Copy(out, src)
	}
	dst.Set(out)
}

func copyMap(dst, src reflect.Value) {
	if src.IsNil() {
		return
	}
	out := reflect.MakeMapWithSize(src.Type(), src.Len())
	deep := holdsReferences(src.Type().Elem().Kind())
	for it := src.MapRange(); it.Next(); {
		v := it.Value()
		if deep {
			v = reflect.New(src.Type().Elem()).Elem()
			copyInto(v, it.Value())
		}
		out.SetMapIndex(it.Key(), v)
	}
	dst.Set(out)
}

func holdsReferences(k reflect.Kind) bool {
	switch k {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map, reflect.Struct:
		return true
	}
	return false
}

var (
	timeType = reflect.TypeFor[time.Time]()
)
