package jobspec

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// assign puts a value into a field, or tells why it doesn't fit. A null leaves
// the field as it is.
func (d *decoder) assign(into reflect.Value, v cty.Value, at hcl.Range, word string) bool {
	if v.IsNull() || !v.IsWhollyKnown() {
		return v.IsNull() // unknown: told where it came from
	}
	if into.Kind() == reflect.Pointer {
		p := reflect.New(into.Type().Elem())
		if !d.assign(p.Elem(), v, at, word) {
			return false
		}
		into.Set(p)
		return true
	}
	if into.Type() == reflect.TypeFor[time.Duration]() {
		return d.duration(into, v, at, word)
	}
	switch into.Kind() {
	case reflect.String:
		s, err := convert.Convert(v, cty.String)
		if err != nil || s.IsNull() {
			return d.wrong(at, word, "a text", v)
		}
		into.SetString(s.AsString())
		return true
	case reflect.Bool:
		b, err := convert.Convert(v, cty.Bool)
		if err != nil || b.IsNull() {
			return d.wrong(at, word, "true or false", v)
		}
		into.SetBool(b.True())
		return true
	case reflect.Slice:
		return d.list(into, v, at, word)
	case reflect.Map:
		return d.mapValue(into, v, at, word)
	case reflect.Interface:
		if p := plain(v); p != nil {
			into.Set(reflect.ValueOf(p))
		}
		return true
	}
	return d.number(into, v, at, word)
}

// wrong tells that a value is of the wrong type.
func (d *decoder) wrong(at hcl.Range, word, want string, got cty.Value) bool {
	d.report.Fault(at, "", "%s must be %s, is %s", word, want, describe(got))
	return false
}

// describe names a value for people.
func describe(v cty.Value) string {
	t := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case t == cty.String:
		s := []rune(v.AsString())
		if len(s) > 40 {
			return fmt.Sprintf("the text %q…", string(s[:40]))
		}
		return fmt.Sprintf("the text %q", string(s))
	case t == cty.Number:
		return "the number " + v.AsBigFloat().Text('f', -1)
	case t == cty.Bool:
		return fmt.Sprint(v.True())
	case t.IsMapType(), t.IsObjectType():
		return "a map"
	}
	return "a list"
}

func (d *decoder) duration(into reflect.Value, v cty.Value, at hcl.Range, word string) bool {
	const want = `a duration such as "30s" or "1h"`
	if v.Type() == cty.Number {
		if v.AsBigFloat().Sign() != 0 {
			d.report.Fault(at, fmt.Sprintf("Write %q.", v.AsBigFloat().Text('f', -1)+"s"), "%s must be %s, is %s", word, want, describe(v))
			return false
		}
		into.SetInt(0)
		return true
	}
	if v.Type() != cty.String {
		return d.wrong(at, word, want, v)
	}
	parsed, err := time.ParseDuration(v.AsString())
	if err != nil {
		return d.wrong(at, word, want, v)
	}
	into.SetInt(int64(parsed))
	return true
}

func (d *decoder) number(into reflect.Value, v cty.Value, at hcl.Range, word string) bool {
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() {
		return d.wrong(at, word, "a number", v)
	}
	f := n.AsBigFloat()
	if !f.IsInt() {
		return d.wrong(at, word, "a whole number", v)
	}
	low, high := bounds(into.Type())
	i, _ := f.Int(nil)
	if i.Cmp(low) < 0 || i.Cmp(high) > 0 {
		if low.Sign() == 0 && i.Sign() < 0 {
			d.report.Fault(at, "", "%s must be 0 or more, is %s", word, f.Text('f', -1))
			return false
		}
		if into.Type().Bits() > 32 {
			d.report.Fault(at, "", "%s is out of all proportion: %s", word, describe(v))
			return false
		}
		d.report.Fault(at, "", "%s must be from %s to %s, is %s", word, low, high, f.Text('f', -1))
		return false
	}
	if into.CanInt() {
		into.SetInt(i.Int64())
	} else {
		into.SetUint(i.Uint64())
	}
	return true
}

// tooFar reports whether a value is a whole number that a field's type can't
// hold.
func tooFar(t reflect.Type, v cty.Value) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() || !n.IsKnown() || !n.AsBigFloat().IsInt() {
		return false
	}
	low, high := bounds(t)
	i, _ := n.AsBigFloat().Int(nil)
	return i.Cmp(low) < 0 || i.Cmp(high) > 0
}

// bounds are the numbers that a type holds.
func bounds(t reflect.Type) (low, high *big.Int) {
	one := big.NewInt(1)
	bits := uint(t.Bits())
	switch t.Kind() {
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(one, bits), one)
	}
	high = new(big.Int).Sub(new(big.Int).Lsh(one, bits-1), one)
	return new(big.Int).Sub(new(big.Int).Neg(high), one), high
}

func (d *decoder) list(into reflect.Value, v cty.Value, at hcl.Range, word string) bool {
	t := v.Type()
	if !t.IsListType() && !t.IsSetType() && !t.IsTupleType() {
		hint := ""
		if t == cty.String {
			hint = fmt.Sprintf("Write [%q].", v.AsString())
		}
		d.report.Fault(at, hint, "%s must be a list, is %s", word, describe(v))
		return false
	}
	out := reflect.MakeSlice(into.Type(), 0, v.LengthInt())
	ok := true
	for i, e := range v.AsValueSlice() {
		elem := reflect.New(into.Type().Elem()).Elem()
		if e.IsNull() {
			d.report.Fault(at, "", "entry %d of %s must not be null", i+1, word)
			ok = false
			continue
		}
		ok = d.assign(elem, e, at, fmt.Sprintf("entry %d of %s", i+1, word)) && ok
		out = reflect.Append(out, elem)
	}
	into.Set(out)
	return ok
}

func (d *decoder) mapValue(into reflect.Value, v cty.Value, at hcl.Range, word string) bool {
	if t := v.Type(); !t.IsMapType() && !t.IsObjectType() {
		return d.wrong(at, word, "a map", v)
	}
	out := reflect.MakeMap(into.Type())
	ok := true
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		if e.IsNull() {
			continue
		}
		elem := reflect.New(into.Type().Elem()).Elem()
		ok = d.assign(elem, e, at, fmt.Sprintf("%s[%q]", word, key.AsString())) && ok
		out.SetMapIndex(reflect.ValueOf(key.AsString()), elem)
	}
	into.Set(out)
	return ok
}

// freeForm decodes a block whose contents a driver or plugin knows. Blocks in
// it become lists of maps, as the API has them.
func (d *decoder) freeForm(src source) map[string]any {
	out := map[string]any{}
	for _, a := range inOrder(src.body.Attributes) {
		if v, ok := evaluate(d.report, a.Expr, src.ctx); ok && !v.IsNull() && v.IsWhollyKnown() {
			out[a.Name] = plain(v)
		}
	}
	for _, inner := range d.expand(src) {
		var value any = d.freeForm(inner)
		for i := len(inner.labels) - 1; i >= 0; i-- {
			value = map[string]any{inner.labels[i].text: []any{value}}
		}
		list, isList := out[inner.word].([]any)
		if _, isAttribute := src.body.Attributes[inner.word]; isAttribute || out[inner.word] != nil && !isList {
			d.report.Fault(inner.at, "Use one of the two forms.", "%s is already there as an attribute", inner.word)
			continue
		}
		out[inner.word] = append(list, value)
	}
	return out
}

// plain turns a value into what JSON would make of it, whole numbers aside,
// which stay whole.
func plain(v cty.Value) any {
	t := v.Type()
	switch {
	case v.IsNull() || !v.IsKnown():
		return nil
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		f := v.AsBigFloat()
		if n, accuracy := f.Int64(); accuracy == big.Exact {
			return n
		}
		n, _ := f.Float64()
		if math.IsInf(n, 0) {
			return f.Text('g', -1)
		}
		return n
	case t.IsMapType(), t.IsObjectType():
		out := map[string]any{}
		for it := v.ElementIterator(); it.Next(); {
			key, e := it.Element()
			out[key.AsString()] = plain(e)
		}
		return out
	case v.CanIterateElements():
		out := []any{}
		for _, e := range v.AsValueSlice() {
			out = append(out, plain(e))
		}
		return out
	}
	return nil
}
