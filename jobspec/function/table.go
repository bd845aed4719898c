// Package function holds what expressions of a job file may call, and the
// budget that keeps any expression, however hostile, from taking more than
// moments.
//
// It must not know jobs, nor where the text comes from: it is told whether
// files may be read. Begin reading at Table, then Budget.
package function

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Table returns what expressions of a job file may call, each under the
// budget.
func Table(f Files, b *Budget) map[string]function.Function {
	out := map[string]function.Function{}
	for _, set := range []map[string]function.Function{
		numericFunctions(), textFunctions(), collectionFunctions(),
		encodingFunctions(), cryptoFunctions(), networkFunctions(), fileFunctions(f),
	} {
		for name, call := range set {
			out[name] = b.guard(name, call)
		}
	}
	// These take expressions, not values.
	out["try"], out["can"], out["convert"] = tryfunc.TryFunc, tryfunc.CanFunc, typeexpr.ConvertFunc
	return out
}

func numericFunctions() map[string]function.Function {
	return map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc,
		"log": stdlib.LogFunc, "max": stdlib.MaxFunc, "min": stdlib.MinFunc,
		"parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,
	}
}

func textFunctions() map[string]function.Function {
	return map[string]function.Function{
		"chomp": stdlib.ChompFunc, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc,
		"indent": stdlib.IndentFunc, "join": stdlib.JoinFunc, "lower": stdlib.LowerFunc,
		"regex_replace": stdlib.RegexReplaceFunc, "replace": stdlib.ReplaceFunc, "split": stdlib.SplitFunc,
		"strlen": stdlib.StrlenFunc, "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc,
		"title": stdlib.TitleFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,
	}
}

func collectionFunctions() map[string]function.Function {
	return map[string]function.Function{
		"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
		"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
		"index": indexFunc(), "keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc,
		"merge": stdlib.MergeFunc, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc, "setproduct": stdlib.SetProductFunc,
		"setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc, "sort": stdlib.SortFunc,
		"values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
	}
}

func encodingFunctions() map[string]function.Function {
	return map[string]function.Function{
		"base64decode": textFunc(base64Decode), "base64encode": textFunc(base64Encode),
		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
		"urlencode": textFunc(urlEncode), "yamldecode": ctyyaml.YAMLDecodeFunc, "yamlencode": ctyyaml.YAMLEncodeFunc,
		"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc,
	}
}

// indexFunc finds a value in a list.
func indexFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "list", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType},
		},
		Type: function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			t := args[0].Type()
			if !t.IsListType() && !t.IsTupleType() {
				return cty.NilVal, function.NewArgErrorf(0, "must be a list")
			}
			for i, e := range args[0].AsValueSlice() {
				if same := e.Equals(args[1]); same.IsKnown() && same.True() {
					return cty.NumberIntVal(int64(i)), nil
				}
			}
			return cty.NilVal, function.NewArgErrorf(1, "the list does not contain it")
		},
	})
}

// textFunc makes a function of texts.
func textFunc(f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			out, err := f(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(out), nil
		},
	})
}

// guard puts a function under the budget: what it is given and what it makes
// of it is charged, and what would multiply is refused beforehand.
func (b *Budget) guard(name string, f function.Function) function.Function {
	return function.New(&function.Spec{
		Description: f.Description(),
		Params:      f.Params(),
		VarParam:    f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := b.charge(name, args); err != nil {
				return cty.DynamicPseudoType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := f.Call(args)
			if err != nil {
				return v, err
			}
			b.bytes -= DeepSize(v, b.bytes)
			return v, b.left()
		},
	})
}

func (b *Budget) left() error {
	if b.bytes < 0 {
		return fmt.Errorf("the expressions of the file produce too much data")
	}
	if b.steps < 0 {
		return fmt.Errorf("the expressions of the file take too many steps")
	}
	return nil
}

func (b *Budget) charge(name string, args []cty.Value) error {
	b.steps--
	for _, a := range args {
		b.bytes -= DeepSize(a, b.bytes)
	}
	if err := b.left(); err != nil {
		return err
	}
	size := multiplied(name, args)
	if size > b.bytes {
		return fmt.Errorf("the result would be too large")
	}
	switch name {
	case "bcrypt": // slow by design: four at the highest cost, sixteen at the default
		b.steps -= MaxLoopSteps / 4 >> (maxBcryptCost - bcryptCost(args))
	case "rsadecrypt":
		b.steps -= MaxLoopSteps / 100
	case "parseint":
		if s, ok := knownText(args, 0); ok && len(s) > 1000 {
			return function.NewArgErrorf(0, "is too long")
		}
	case "jsondecode", "yamldecode":
		s, _ := knownText(args, 0)
		if strings.Count(s, "[")+strings.Count(s, "{") > maxParts {
			return function.NewArgErrorf(0, "has too many parts")
		}
		if name == "yamldecode" && len(yamlAlias.FindAllStringIndex(s, maxAliases+1)) > maxAliases {
			return function.NewArgErrorf(0, "has too many aliases")
		}
	}
	return b.left()
}

const (
	maxParts   = 10_000 // of a JSON or YAML text: readers are recursive
	maxAliases = 20     // of a YAML text: each may multiply the one before
)

// yamlAlias finds what may be an alias in YAML.
var yamlAlias = regexp.MustCompile(`(?m)(^|[\s,:\[{-])\*[^\s*,\]}]`)

// wide finds a width or precision of a format.
var wide = regexp.MustCompile(`%[^a-zA-Z%]*[0-9]{4,}`)

// multiplied estimates the result of functions that make much of little.
func multiplied(name string, args []cty.Value) int {
	first, okFirst := knownText(args, 0)
	switch name {
	case "format", "formatlist":
		if okFirst && wide.MatchString(first) || len(args) > 1 && strings.Contains(first, "*") {
			return MaxValueBytes + 1
		}
	case "indent":
		if text, ok := knownText(args, 1); ok && args[0].Type() == cty.Number && args[0].IsKnown() && !args[0].IsNull() {
			spaces, _ := args[0].AsBigFloat().Int64()
			return int(min(max(spaces, 0), MaxValueBytes)) * (strings.Count(text, "\n") + 1)
		}
	case "replace", "regex_replace":
		return replaced(name, args)
	case "setproduct":
		n := 1
		for _, a := range args {
			if a.IsKnown() && !a.IsNull() && a.CanIterateElements() && n <= MaxValueBytes {
				n *= a.LengthInt()
			}
		}
		return n * 64
	}
	return 0
}

func replaced(name string, args []cty.Value) int {
	text, ok := knownText(args, 0)
	pattern, okPattern := knownText(args, 1)
	with, okWith := knownText(args, 2)
	if !ok || !okPattern || !okWith {
		return 0
	}
	if name == "replace" && !strings.HasPrefix(pattern, "/") {
		return len(text) + strings.Count(text, pattern)*len(with)
	}
	return len(text) + (len(text)+1)*len(with)*(1+strings.Count(with, "$"))
}

func knownText(args []cty.Value, i int) (string, bool) {
	if i >= len(args) {
		return "", false
	}
	v, _ := args[i].Unmark()
	if v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return "", false
	}
	return v.AsString(), true
}

// DeepSize is about how many bytes a value has, all its parts together. It
// stops counting beyond limit: values may share parts and be far larger than
// the memory they take.
func DeepSize(v cty.Value, limit int) int {
	v, _ = v.Unmark()
	size := valueSize(v)
	if size > limit || v.IsNull() || !v.IsKnown() || !v.CanIterateElements() {
		return size
	}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if size += DeepSize(e, limit-size); size > limit {
			return size
		}
	}
	return size
}
