package structs

import (
	"reflect"
	"time"
)

// populate gives every field of v a value that is not zero, and different
// from its neighbours' where the type allows.
func populate(v reflect.Value, n *int, depth int) {
	*n++
	if depth > 14 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		populate(v.Elem(), n, depth+1)
	case reflect.Struct:
		if v.Type() == timeType {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000+int64(*n), 0).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Tag.Get("hcl1") == "" {
				populate(v.Field(i), n, depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			populate(v.Index(i), n, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		populate(e, n, depth+1)
		v.SetMapIndex(reflect.ValueOf("key"), e)
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]any{"text": "x", "list": []any{"a", 1.5}, "flag": true}))
	case reflect.String:
		v.SetString("s" + string(rune('a'+*n%26)) + string(rune('a'+*n/26%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	default:
		if v.CanInt() {
			v.SetInt(int64(*n%100 + 1))
		} else {
			v.SetUint(uint64(*n%100 + 1))
		}
	}
}

func populated[T any]() *T {
	out, n := new(T), 0
	populate(reflect.ValueOf(out).Elem(), &n, 0)
	return out
}
