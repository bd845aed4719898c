package wire

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// The encoder leaves out fields that are zero: most of a job's are, and they
// are read as zero anyway. The library's encoder can do so only field by field,
// by a tag; it is used for decoding, which is where input can't be trusted.

// field is one field of a struct as it is written.
type field struct {
	name  string
	key   []byte // the name as it is written
	index int
	path  []int // through embedded structs, nil if it is in none
}

func (f *field) of(v reflect.Value) reflect.Value {
	if f.path == nil {
		return v.Field(f.index)
	}
	return v.FieldByIndex(f.path)
}

// layout is how a struct is written.
type layout struct {
	fields  []field
	asArray bool // without names, and nothing left out
}

// layouts remembers the layout of each type: it never changes.
var layouts sync.Map

func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	l := &layout{}
	l.add(t, nil)
	layouts.Store(t, l)
	return l
}

func (l *layout) add(t reflect.Type, path []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("codec")
		if !tagged {
			tag = f.Tag.Get("json")
		}
		name, options, _ := strings.Cut(tag, ",")
		at := append(slices.Clone(path), i)
		switch {
		case f.Name == "_struct":
			l.asArray = strings.Contains(options, "toarray")
		case name == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			l.add(f.Type, at)
		case f.IsExported():
			name = cmp.Or(name, f.Name)
			next := field{name: name, key: append(appendHead(nil, len(name), strHead), name...), index: i}
			if len(path) > 0 {
				next.path = at
			}
			l.fields = append(l.fields, next)
		}
	}
}

var timeType = reflect.TypeFor[time.Time]()

func encode(out []byte, v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.Invalid:
		return append(out, 0xc0), nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(out, 0xc0), nil
		}
		return encode(out, v.Elem())
	case reflect.Struct:
		if v.Type() == timeType {
			return appendTime(out, v.Interface().(time.Time)), nil
		}
		return encodeStruct(out, v)
	case reflect.Map:
		return encodeMap(out, v)
	case reflect.Slice:
		if v.IsNil() {
			return append(out, 0xc0), nil
		}
		return encodeList(out, v)
	case reflect.Array:
		return encodeList(out, v)
	case reflect.String:
		return append(appendHead(out, v.Len(), strHead), v.String()...), nil
	case reflect.Bool:
		if v.Bool() {
			return append(out, 0xc3), nil
		}
		return append(out, 0xc2), nil
	case reflect.Float32, reflect.Float64:
		return binary.BigEndian.AppendUint64(append(out, 0xcb), math.Float64bits(v.Float())), nil
	}
	switch {
	case v.CanInt():
		return appendInt(out, v.Int()), nil
	case v.CanUint():
		return appendUint(out, v.Uint()), nil
	}
	return nil, fmt.Errorf("a %s can't be encoded", v.Type())
}

func encodeStruct(out []byte, v reflect.Value) ([]byte, error) {
	l := layoutOf(v.Type())
	var err error
	if l.asArray {
		out = appendHead(out, len(l.fields), arrayHead)
		for i := range l.fields {
			if out, err = encode(out, l.fields[i].of(v)); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	start, set := len(out), 0
	out = append(out, 0) // most heads are a byte
	for i := range l.fields {
		f := l.fields[i].of(v)
		if f.IsZero() {
			continue
		}
		set++
		out = append(out, l.fields[i].key...)
		if out, err = encode(out, f); err != nil {
			return nil, fmt.Errorf("%s: %w", l.fields[i].name, err)
		}
	}
	return fitHead(out, start, set), nil
}

// fitHead writes the head of a map over the byte at start, and moves what follows
// if it takes more.
func fitHead(out []byte, start, entries int) []byte {
	var room [5]byte
	head := appendHead(room[:0], entries, mapHead)
	return slices.Replace(out, start, start+1, head...)
}

func encodeMap(out []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return append(out, 0xc0), nil
	}
	keys := v.MapKeys()
	switch elem := v.Type().Elem(); {
	case v.Type().Key().Kind() != reflect.String:
		return nil, fmt.Errorf("a map with keys of %s can't be encoded", v.Type().Key())
	case elem.Kind() == reflect.Struct && elem != timeType:
		// The library reads all values of such a map into one variable: what one
		// leaves out it would have from the one before it.
		return nil, fmt.Errorf("a map of %s can't be encoded: let it hold pointers", elem)
	}
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	out = appendHead(out, len(keys), mapHead)
	for _, k := range keys {
		out = append(appendHead(out, k.Len(), strHead), k.String()...)
		var err error
		if out, err = encode(out, v.MapIndex(k)); err != nil {
			return nil, fmt.Errorf("%q: %w", k.String(), err)
		}
	}
	return out, nil
}

func encodeList(out []byte, v reflect.Value) ([]byte, error) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		out = appendHead(out, v.Len(), binHead)
		if v.Kind() == reflect.Slice {
			return append(out, v.Bytes()...), nil
		}
		for i := range v.Len() {
			out = append(out, byte(v.Index(i).Uint()))
		}
		return out, nil
	}
	out = appendHead(out, v.Len(), arrayHead)
	for i := range v.Len() {
		var err error
		if out, err = encode(out, v.Index(i)); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}
