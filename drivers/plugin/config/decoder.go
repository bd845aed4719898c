package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-run/steppe/drivers"
)

// toDecoder turns a plugin's Spec into a decoder. implied is the key of the
// Object right above: the name of an attribute or block that has none.
func toDecoder(s *drivers.Spec, implied string) (hcldec.Spec, error) {
	if s == nil {
		return nil, fmt.Errorf("%q has no content", implied)
	}
	switch s.Kind {
	case drivers.SpecObject:
		out := hcldec.ObjectSpec{}
		for key, field := range s.Fields {
			decoder, err := toDecoder(field, key)
			if err != nil {
				return nil, err
			}
			out[key] = decoder
		}
		return out, nil
	case drivers.SpecArray:
		out := hcldec.TupleSpec{}
		for _, item := range s.Items {
			decoder, err := toDecoder(item, "")
			if err != nil {
				return nil, err
			}
			out = append(out, decoder)
		}
		return out, nil
	case drivers.SpecDefault:
		primary, err := toDecoder(s.Nested, "")
		if err != nil {
			return nil, err
		}
		fallback, err := toDecoder(s.Fallback, "")
		if err != nil {
			return nil, err
		}
		return &hcldec.DefaultSpec{Primary: primary, Default: fallback}, nil
	case drivers.SpecLiteral:
		value, err := literal(s.Value)
		return &hcldec.LiteralSpec{Value: value}, err
	}
	return namedDecoder(s, implied)
}

// namedDecoder handles the kinds that read an attribute or blocks by name.
func namedDecoder(s *drivers.Spec, implied string) (hcldec.Spec, error) {
	name := s.Name
	if name == "" {
		name = implied
	}
	if name == "" {
		return nil, fmt.Errorf("a %s has no name", s.Kind)
	}
	switch s.Kind {
	case drivers.SpecAttr:
		typ, err := parseType(s.Type)
		return &hcldec.AttrSpec{Name: name, Type: typ, Required: s.Required}, err
	case drivers.SpecBlockAttrs:
		typ, err := parseType(s.Type)
		return &hcldec.BlockAttrsSpec{TypeName: name, ElementType: typ, Required: s.Required}, err
	}
	nested, err := toDecoder(s.Nested, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	switch s.Kind {
	case drivers.SpecBlock:
		return &hcldec.BlockSpec{TypeName: name, Nested: nested, Required: s.Required}, nil
	case drivers.SpecBlockList:
		return &hcldec.BlockListSpec{TypeName: name, Nested: nested, MinItems: int(s.MinItems), MaxItems: int(s.MaxItems)}, nil
	case drivers.SpecBlockSet:
		return &hcldec.BlockSetSpec{TypeName: name, Nested: nested, MinItems: int(s.MinItems), MaxItems: int(s.MaxItems)}, nil
	case drivers.SpecBlockMap:
		if len(s.Labels) == 0 {
			return nil, fmt.Errorf("%s: a map of blocks needs at least one label", name)
		}
		return &hcldec.BlockMapSpec{TypeName: name, LabelNames: s.Labels, Nested: nested}, nil
	}
	return nil, fmt.Errorf("%s: %q is an unknown kind of schema", name, s.Kind)
}

func parseType(text string) (cty.Type, error) {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "type", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.DynamicPseudoType, fmt.Errorf("type %q: %w", text, diags)
	}
	typ, diags := typeexpr.TypeConstraint(expr)
	if diags.HasErrors() {
		return cty.DynamicPseudoType, fmt.Errorf("type %q: %w", text, diags)
	}
	return typ, nil
}

func literal(text string) (cty.Value, error) {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "literal", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("literal %s: %w", text, diags)
	}
	value, diags := expr.Value(&hcl.EvalContext{Functions: functions()})
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("literal %s: %w", text, diags)
	}
	return value, nil
}
