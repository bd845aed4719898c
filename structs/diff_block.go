package structs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// differ compares blocks field by field. A missing side is an invalid value.
type differ struct{ contextual bool }

// contents compares the fields of two structs of type t, but those to skip and
// those that are no part of the specification.
func (d differ) contents(a, b reflect.Value, t reflect.Type, skip ...string) ([]*FieldDiff, []*ObjectDiff) {
	var fields []*FieldDiff
	var objects []*ObjectDiff
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Tag.Get("change") == "ignore" || slices.Contains(skip, sf.Name) {
			continue
		}
		f, o := d.field(sf, at(a, i), at(b, i))
		fields, objects = append(fields, f...), append(objects, o...)
	}
	sortDiffs(fields, objects)
	return fields, objects
}

func at(v reflect.Value, i int) reflect.Value {
	if !v.IsValid() {
		return v
	}
	return v.Field(i)
}

// field compares one field of a struct, by what kind of thing it holds.
func (d differ) field(sf reflect.StructField, a, b reflect.Value) ([]*FieldDiff, []*ObjectDiff) {
	elem := sf.Type
	if elem.Kind() == reflect.Pointer {
		elem = elem.Elem()
		a, b = indirect(a), indirect(b)
	}
	switch {
	case elem.Kind() == reflect.Struct && elem != timeType:
		return nil, d.block(sf.Name, a, b, elem)
	case elem.Kind() == reflect.Map && elem.Elem().Kind() == reflect.Interface:
		return nil, d.freeForm(sf.Name, a, b)
	case elem.Kind() == reflect.Map && isBlock(elem.Elem()):
		return nil, d.blocks(singular(sf.Name), mapValues(a), mapValues(b))
	case elem.Kind() == reflect.Map:
		return d.flatMap(sf.Name, a, b), nil
	case elem.Kind() == reflect.Slice && isBlock(elem.Elem()):
		return nil, d.blocks(singular(sf.Name), sliceValues(a), sliceValues(b))
	case elem.Kind() == reflect.Slice && elem.Elem().Kind() != reflect.Uint8:
		return nil, d.list(sf.Name, a, b)
	}
	return d.one(sf.Name, text(a), text(b)), nil
}

// block compares two blocks of one place. Unchanged blocks are left out.
func (d differ) block(name string, a, b reflect.Value, t reflect.Type) []*ObjectDiff {
	if !a.IsValid() && !b.IsValid() {
		return nil
	}
	out := &ObjectDiff{Name: name}
	out.Fields, out.Objects = d.contents(a, b, t)
	out.Type = diffType(a.IsValid(), b.IsValid(), anyChange(out.Fields, out.Objects))
	if out.Type == DiffNone {
		return nil
	}
	return []*ObjectDiff{out}
}

// blocks compares lists of blocks. Those that say the same cancel out; of the
// rest those with the same key were edited, others came or went.
func (d differ) blocks(name string, a, b []reflect.Value) []*ObjectDiff {
	var out []*ObjectDiff
	fresh := slices.Clone(b)
	var old []reflect.Value
	for _, v := range a {
		same := func(o reflect.Value) bool { return changeBetween(v, o, ChangeInPlace) == ChangeNone }
		if i := slices.IndexFunc(fresh, same); i >= 0 {
			fresh = slices.Delete(fresh, i, i+1)
			continue
		}
		old = append(old, v)
	}
	for _, v := range old {
		match := -1
		if key, ok := blockKey(v); ok {
			match = slices.IndexFunc(fresh, func(o reflect.Value) bool { k, _ := blockKey(o); return k == key })
		}
		other := reflect.Value{}
		if match >= 0 {
			other = fresh[match]
			fresh = slices.Delete(fresh, match, match+1)
		}
		out = append(out, d.block(name, v, other, v.Type())...)
	}
	for _, v := range fresh {
		out = append(out, d.block(name, reflect.Value{}, v, v.Type())...)
	}
	return out
}

// blockKey is what makes a block of a list the same one after a change.
func blockKey(v reflect.Value) (string, bool) {
	if v.Type() == reflect.TypeFor[NetworkResource]() {
		return "", true // there is one
	}
	for _, name := range []string{"Name", "Label", "DestPath", "Volume", "Value", "DestinationName"} {
		if f := v.FieldByName(name); f.IsValid() {
			return text(indirect(f)).value, true
		}
	}
	return "", false
}

// list compares lists of plain values as sets.
func (d differ) list(name string, a, b reflect.Value) []*ObjectDiff {
	before, after := texts(a), texts(b)
	out := &ObjectDiff{Name: name}
	for _, v := range before {
		switch {
		case !slices.Contains(after, v):
			out.Fields = append(out.Fields, &FieldDiff{Type: DiffDeleted, Name: name, Old: v})
		case d.contextual:
			out.Fields = append(out.Fields, &FieldDiff{Type: DiffNone, Name: name, Old: v, New: v})
		}
	}
	for _, v := range after {
		if !slices.Contains(before, v) {
			out.Fields = append(out.Fields, &FieldDiff{Type: DiffAdded, Name: name, New: v})
		}
	}
	out.Type = diffType(len(before) > 0, len(after) > 0, anyChange(out.Fields, nil))
	if out.Type == DiffNone {
		return nil
	}
	sortDiffs(out.Fields, nil)
	return []*ObjectDiff{out}
}

// flatMap compares maps of plain values: each entry is a field Name[key].
func (d differ) flatMap(name string, a, b reflect.Value) []*FieldDiff {
	keys := map[string]bool{}
	for _, m := range []reflect.Value{a, b} {
		if m.IsValid() {
			for _, k := range m.MapKeys() {
				keys[k.String()] = true
			}
		}
	}
	var out []*FieldDiff
	for _, k := range mapKeys(keys) {
		out = append(out, d.one(name+"["+k+"]", entry(a, k), entry(b, k))...)
	}
	return out
}

func entry(m reflect.Value, key string) shown {
	if !m.IsValid() {
		return shown{}
	}
	v := m.MapIndex(reflect.ValueOf(key))
	if !v.IsValid() {
		return shown{}
	}
	s := text(v)
	s.present = true
	return s
}

// freeForm compares configuration of drivers: one object, its values by path,
// such as args[0].
func (d differ) freeForm(name string, a, b reflect.Value) []*ObjectDiff {
	before, after := map[string]string{}, map[string]string{}
	flatten(before, "", a)
	flatten(after, "", b)
	keys := map[string]bool{}
	for _, m := range []map[string]string{before, after} {
		for k := range m {
			keys[k] = true
		}
	}
	out := &ObjectDiff{Name: name}
	for _, k := range mapKeys(keys) {
		old, had := before[k]
		fresh, has := after[k]
		out.Fields = append(out.Fields, d.one(k, shown{old, had}, shown{fresh, has})...)
	}
	out.Type = diffType(len(before) > 0, len(after) > 0, anyChange(out.Fields, nil))
	if out.Type == DiffNone {
		return nil
	}
	return []*ObjectDiff{out}
}

func flatten(out map[string]string, path string, v reflect.Value) {
	for v.IsValid() && v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			key := fmt.Sprint(it.Key().Interface())
			if path != "" {
				key = path + "[" + key + "]"
			}
			flatten(out, key, it.Value())
		}
	case reflect.Slice:
		for i := range v.Len() {
			flatten(out, path+"["+strconv.Itoa(i)+"]", v.Index(i))
		}
	default:
		out[path] = text(v).value
	}
}

// one compares two plain values.
func (d differ) one(name string, a, b shown) []*FieldDiff {
	kind := diffType(a.present, b.present, a.value != b.value)
	if kind == DiffNone && (!d.contextual || !a.present) {
		return nil
	}
	return []*FieldDiff{{Type: kind, Name: name, Old: a.value, New: b.value}}
}

// shown is a plain value as text. Empty texts count as absent.
type shown struct {
	value   string
	present bool
}

func text(v reflect.Value) shown {
	if !v.IsValid() {
		return shown{}
	}
	switch x := v.Interface().(type) {
	case string:
		return shown{x, x != ""}
	case []byte:
		return shown{string(x), len(x) > 0}
	case time.Duration:
		return shown{strconv.FormatInt(int64(x), 10), true}
	case time.Time:
		return shown{x.UTC().Format(time.RFC3339Nano), !x.IsZero()}
	case float64:
		return shown{strconv.FormatFloat(x, 'f', -1, 64), true}
	}
	return shown{fmt.Sprint(v.Interface()), true}
}

func texts(v reflect.Value) []string {
	if !v.IsValid() {
		return nil
	}
	out := make([]string, 0, v.Len())
	for i := range v.Len() {
		out = append(out, text(v.Index(i)).value)
	}
	return out
}

func indirect(v reflect.Value) reflect.Value {
	if v.IsValid() && v.Kind() == reflect.Pointer {
		return v.Elem() // invalid if nil
	}
	return v
}

func isBlock(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && t != timeType
}

func sliceValues(v reflect.Value) []reflect.Value {
	if !v.IsValid() {
		return nil
	}
	var out []reflect.Value
	for i := range v.Len() {
		if e := indirect(v.Index(i)); e.IsValid() {
			out = append(out, e)
		}
	}
	return out
}

func mapValues(v reflect.Value) []reflect.Value {
	if !v.IsValid() {
		return nil
	}
	byKey := map[string]reflect.Value{}
	for it := v.MapRange(); it.Next(); {
		if e := indirect(it.Value()); e.IsValid() {
			byKey[it.Key().String()] = e
		}
	}
	var out []reflect.Value
	for _, k := range mapKeys(byKey) {
		out = append(out, byKey[k])
	}
	return out
}

// singular names one block of a list: Constraints are blocks named Constraint.
func singular(name string) string {
	switch name {
	case "DynamicPorts":
		return "Dynamic Port"
	case "ReservedPorts":
		return "Static Port"
	}
	if stem, ok := strings.CutSuffix(name, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(name, "s")
}
