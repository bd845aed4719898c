package link

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/structs"
)

// fill sets every field below v to something that isn't its zero value.
func fill(v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1700000000, 123456789).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
		fill(v.Index(1), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]any{"a": []any{"b", true, 1.5, int64(7)}}))
	default:
		fillPlain(v)
	}
}

func fillPlain(v reflect.Value) {
	switch {
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(9)
	case v.CanFloat():
		v.SetFloat(1.25)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.String:
		v.SetString("x")
	}
}

// Whatever a noun holds, it arrives: full, empty, and with pointers to nothing.
func TestNounsArriveWhole(t *testing.T) {
	for _, noun := range []any{
		&structs.Node{}, &structs.Job{}, &structs.Allocation{}, &[]*structs.AllocUpdate{}, &[]*structs.ServiceRegistration{},
	} {
		typ := reflect.TypeOf(noun).Elem()
		full := reflect.New(typ)
		fill(full.Elem(), 0)
		for _, want := range []any{full.Interface(), reflect.New(typ).Interface()} {
			packed, err := PackNoun(want)
			if err != nil {
				t.Fatal(err)
			}
			got := reflect.New(typ).Interface()
			if err := UnpackNoun(packed, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-sent +arrived):\n%s", typ, diff)
			}
		}
	}
	zero, none := 0, false
	job := &structs.Job{Priority: &zero, Stop: &none, Datacenters: []string{}}
	packed, err := PackNoun(job)
	if err != nil {
		t.Fatal(err)
	}
	got := new(structs.Job)
	if err := UnpackNoun(packed, got); err != nil || got.Priority == nil || got.Stop == nil || got.AllAtOnce != nil {
		t.Errorf("pointers to nothing: %+v, %v", got, err)
	}
}

func FuzzUnpackNoun(f *testing.F) {
	for _, noun := range []any{&structs.Node{ID: "x"}, []*structs.AllocUpdate{{ID: "y"}}, map[string]any{"Attributes": []any{1}}} {
		packed, err := PackNoun(noun)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, into := range []any{&structs.Node{}, &structs.Job{}, &[]*structs.AllocUpdate{}} {
			if UnpackNoun(raw, into) != nil {
				continue
			}
			again, err := PackNoun(into)
			if err != nil {
				t.Fatal(err)
			}
			if err := UnpackNoun(again, reflect.New(reflect.TypeOf(into).Elem()).Interface()); err != nil {
				t.Errorf("what was read can't be read again: %v", err)
			}
		}
	})
}
