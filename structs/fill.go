package structs

import "reflect"

// fill sets what is absent.
func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

// fillZero sets what is zero.
func fillZero[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// fillText sets what is absent or empty.
func fillText(p **string, value string) {
	if *p == nil || **p == "" {
		*p = &value
	}
}

// inherit gives dst, a struct of optional fields, a copy of what it lacks and
// from has. A nil dst becomes a copy of from.
func inherit[T any](dst **T, from *T) {
	if from == nil {
		return
	}
	if *dst == nil {
		*dst = deepCopy(from)
		return
	}
	d, f := reflect.ValueOf(*dst).Elem(), reflect.ValueOf(from).Elem()
	for i := range d.NumField() {
		if d.Field(i).Kind() == reflect.Pointer && d.Field(i).IsNil() {
			copyInto(d.Field(i), f.Field(i))
		}
	}
}

// tidy removes what says nothing: nil entries of lists and maps, empty lists
// and maps. Two jobs that say the same are then the same, and no reader needs
// to expect a nil in a list. Free-form values are left alone.
func tidy(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			tidy(v.Elem())
		}
	case reflect.Struct:
		if v.Type() != timeType {
			for i := range v.NumField() {
				tidy(v.Field(i))
			}
		}
	case reflect.Slice:
		tidySlice(v)
	case reflect.Map:
		tidyMap(v)
	}
}

func tidySlice(v reflect.Value) {
	if v.Len() == 0 {
		v.SetZero()
		return
	}
	if !holdsReferences(v.Type().Elem().Kind()) {
		return
	}
	kept := 0
	for i := range v.Len() {
		e := v.Index(i)
		if e.Kind() == reflect.Pointer && e.IsNil() {
			continue
		}
		tidy(e)
		v.Index(kept).Set(e)
		kept++
	}
	v.SetLen(kept)
	if kept == 0 {
		v.SetZero()
	}
}

func tidyMap(v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Pointer {
		for it := v.MapRange(); it.Next(); {
			if it.Value().IsNil() {
				v.SetMapIndex(it.Key(), reflect.Value{})
				continue
			}
			tidy(it.Value())
		}
	}
	if v.Len() == 0 {
		v.SetZero()
	}
}
