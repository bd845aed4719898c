package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/steppe-run/steppe/internal/diag"
)

// functions are what templates in configuration may call.
func functions() map[string]function.Function {
	return map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "coalesce": stdlib.CoalesceFunc, "concat": stdlib.ConcatFunc,
		"hasindex": stdlib.HasIndexFunc, "int": stdlib.IntFunc, "jsondecode": stdlib.JSONDecodeFunc,
		"jsonencode": stdlib.JSONEncodeFunc, "length": stdlib.LengthFunc, "lower": stdlib.LowerFunc,
		"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "reverse": stdlib.ReverseFunc,
		"strlen": stdlib.StrlenFunc, "substr": stdlib.SubstrFunc, "upper": stdlib.UpperFunc,
	}
}

// resolve returns v with every template in it evaluated. Lists and maps may
// come in any of the forms that parsers leave.
func resolve(path string, v any, vars map[string]string, faults *diag.List) any {
	switch v := v.(type) {
	case string:
		out, err := template(v, vars)
		if err != nil {
			faults.Add(path, "%v", err)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range sortedKeys(v) {
			out[key] = resolve(join(path, key), v[key], vars, faults)
		}
		return out
	case map[string]string:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = resolve(join(path, key), value, vars, faults)
		}
		return out
	case []any:
		return resolveAll(path, v, vars, faults)
	case []string:
		return resolveAll(path, v, vars, faults)
	case []map[string]any:
		return resolveAll(path, v, vars, faults)
	}
	return v
}

func resolveAll[E any](path string, list []E, vars map[string]string, faults *diag.List) []any {
	out := make([]any, len(list))
	for i, item := range list {
		out[i] = resolve(path+"["+strconv.Itoa(i)+"]", item, vars, faults)
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// template evaluates one string. A string that is a single interpolation
// keeps the type of what it names.
func template(text string, vars map[string]string) (any, error) {
	if !strings.Contains(text, "${") && !strings.Contains(text, "%{") {
		return text, nil
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(text), "template", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%q is not a template: %s", text, detail(diags))
	}
	parts := []hclsyntax.Expression{expr}
	whole, isTemplate := expr.(*hclsyntax.TemplateExpr)
	if isTemplate {
		parts = whole.Parts
	}
	var joined strings.Builder
	for _, part := range parts {
		value, err := evaluate(part, vars)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if !isTemplate {
			return generic(value)
		}
		s, err := convert.Convert(value, cty.String)
		if err != nil || s.IsNull() {
			return nil, fmt.Errorf("%q: a part of it is not text", text)
		}
		joined.WriteString(s.AsString())
	}
	return joined.String(), nil
}

func detail(diags hcl.Diagnostics) string {
	return strings.TrimSuffix(diags[0].Summary+": "+diags[0].Detail, ".")
}

// evaluate gives expr's value. Each part of a template has a context of its
// own, since attr.driver.docker and attr.driver.docker.version both exist and
// no one object can hold both.
func evaluate(expr hclsyntax.Expression, vars map[string]string) (cty.Value, error) {
	tree := branch{}
	for _, traversal := range expr.Variables() {
		key, steps := dotted(traversal)
		value, ok := vars[key]
		if !ok && len(steps) > 1 && steps[0] == "env" {
			value, ok = vars[strings.Join(steps[1:], ".")]
		}
		if !ok {
			return cty.NilVal, fmt.Errorf("there is no variable %q: use the task's environment, node., attr. or meta. names", key)
		}
		tree.set(steps, value)
	}
	value, diags := expr.Value(&hcl.EvalContext{Variables: tree.values(), Functions: functions()})
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("%s", detail(diags))
	}
	return value, nil
}

// dotted names a traversal the way variables are keyed.
func dotted(t hcl.Traversal) (string, []string) {
	var steps []string
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			steps = append(steps, step.Name)
		case hcl.TraverseAttr:
			steps = append(steps, step.Name)
		case hcl.TraverseIndex:
			if key, err := convert.Convert(step.Key, cty.String); err == nil && key.IsKnown() && !key.IsNull() {
				steps = append(steps, key.AsString())
			}
		}
	}
	return strings.Join(steps, "."), steps
}

// branch is a node of the tree of variables that one expression names.
type branch map[string]any

func (b branch) set(steps []string, value string) {
	if len(steps) == 1 {
		b[steps[0]] = value
		return
	}
	next, ok := b[steps[0]].(branch)
	if !ok {
		next = branch{}
		b[steps[0]] = next
	}
	next.set(steps[1:], value)
}

func (b branch) values() map[string]cty.Value {
	out := make(map[string]cty.Value, len(b))
	for key, v := range b {
		switch v := v.(type) {
		case string:
			out[key] = cty.StringVal(v)
		case branch:
			out[key] = cty.ObjectVal(v.values())
		}
	}
	return out
}

// generic turns a value back into plain data, by way of JSON.
func generic(v cty.Value) (any, error) {
	if !v.IsWhollyKnown() {
		return nil, fmt.Errorf("the value isn't known")
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return nil, fmt.Errorf("write value: %w", err)
	}
	return rawJSON(text), nil
}

// rawJSON is written into the block's JSON as it is, so numbers keep digits.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }
