package structs

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCloneIsEqualAndSharesNothing(t *testing.T) {
	cloned(t, populated[Job](), (*Job).Clone)
	cloned(t, populated[Node](), (*Node).Clone)
	cloned(t, populated[Evaluation](), (*Evaluation).Clone)
	cloned(t, populated[Deployment](), (*Deployment).Clone)
	alloc := populated[Allocation]()
	job := alloc.Job
	if alloc.Clone().Job != job {
		t.Error("the job of a cloned allocation must be shared")
	}
	alloc.Job = nil
	cloned(t, alloc, (*Allocation).Clone)
	if got := (*Job)(nil).Clone(); got != nil {
		t.Errorf("clone of nil is %v", got)
	}
}

func cloned[T any](t *testing.T, v *T, clone func(*T) *T) {
	t.Helper()
	c := clone(v)
	if d := cmp.Diff(v, c, cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
		t.Fatalf("the clone differs:\n%s", d)
	}
	owned := map[uintptr]string{}
	references(reflect.ValueOf(v), reflect.TypeFor[T]().Name(), func(p uintptr, path string) { owned[p] = path })
	references(reflect.ValueOf(c), reflect.TypeFor[T]().Name(), func(p uintptr, path string) {
		if from, shared := owned[p]; shared {
			t.Errorf("the clone's %s is the original's %s", path, from)
		}
	})
	if len(owned) < 3 {
		t.Errorf("only %d references found", len(owned))
	}
}

func references(v reflect.Value, path string, visit func(uintptr, string)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Type().Elem().Size() > 0 {
			visit(v.Pointer(), path)
			references(v.Elem(), path, visit)
		}
	case reflect.Interface:
		references(v.Elem(), path, visit)
	case reflect.Struct:
		if v.Type() != timeType {
			for i := range v.NumField() {
				references(v.Field(i), path+"."+v.Type().Field(i).Name, visit)
			}
		}
	case reflect.Slice:
		if v.Len() > 0 {
			visit(v.Pointer(), path)
			for i := range v.Len() {
				references(v.Index(i), path+"[]", visit)
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			visit(v.Pointer(), path)
			for it := v.MapRange(); it.Next(); {
				references(it.Value(), path+"{}", visit)
			}
		}
	}
}

func BenchmarkCloneJob(b *testing.B) {
	j := populated[Job]()
	for b.Loop() {
		j.Clone()
	}
}
