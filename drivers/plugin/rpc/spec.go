package rpc

import (
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/wire/hclspec"
)

// specToWire turns a Spec into its message; nil stays nil.
func specToWire(s *drivers.Spec) *hclspec.Spec {
	if s == nil {
		return nil
	}
	switch s.Kind {
	case drivers.SpecObject:
		fields := make(map[string]*hclspec.Spec, len(s.Fields))
		for name, field := range s.Fields {
			fields[name] = specToWire(field)
		}
		return &hclspec.Spec{Block: &hclspec.Spec_Object{Object: &hclspec.Object{Attributes: fields}}}
	case drivers.SpecArray:
		items := make([]*hclspec.Spec, len(s.Items))
		for i, item := range s.Items {
			items[i] = specToWire(item)
		}
		return &hclspec.Spec{Block: &hclspec.Spec_Array{Array: &hclspec.Array{Values: items}}}
	case drivers.SpecAttr:
		return &hclspec.Spec{Block: &hclspec.Spec_Attr{Attr: &hclspec.Attr{Name: s.Name, Type: s.Type, Required: s.Required}}}
	case drivers.SpecDefault:
		return &hclspec.Spec{Block: &hclspec.Spec_Default{Default: &hclspec.Default{Primary: specToWire(s.Nested), Default: specToWire(s.Fallback)}}}
	case drivers.SpecLiteral:
		return &hclspec.Spec{Block: &hclspec.Spec_Literal{Literal: &hclspec.Literal{Value: s.Value}}}
	}
	return blockToWire(s)
}

func blockToWire(s *drivers.Spec) *hclspec.Spec {
	nested := specToWire(s.Nested)
	switch s.Kind {
	case drivers.SpecBlock:
		return &hclspec.Spec{Block: &hclspec.Spec_BlockValue{BlockValue: &hclspec.Block{Name: s.Name, Required: s.Required, Nested: nested}}}
	case drivers.SpecBlockAttrs:
		return &hclspec.Spec{Block: &hclspec.Spec_BlockAttrs{BlockAttrs: &hclspec.BlockAttrs{Name: s.Name, Type: s.Type, Required: s.Required}}}
	case drivers.SpecBlockList:
		return &hclspec.Spec{Block: &hclspec.Spec_BlockList{BlockList: &hclspec.BlockList{Name: s.Name, MinItems: s.MinItems, MaxItems: s.MaxItems, Nested: nested}}}
	case drivers.SpecBlockSet:
		return &hclspec.Spec{Block: &hclspec.Spec_BlockSet{BlockSet: &hclspec.BlockSet{Name: s.Name, MinItems: s.MinItems, MaxItems: s.MaxItems, Nested: nested}}}
	case drivers.SpecBlockMap:
		return &hclspec.Spec{Block: &hclspec.Spec_BlockMap{BlockMap: &hclspec.BlockMap{Name: s.Name, Labels: s.Labels, Nested: nested}}}
	}
	return &hclspec.Spec{}
}

// specFromWire turns a message into a Spec. A message without content, as a
// plugin sends that takes no block, gives nil.
func specFromWire(s *hclspec.Spec) *drivers.Spec {
	switch b := s.GetBlock().(type) {
	case *hclspec.Spec_Object:
		fields := make(drivers.Fields, len(b.Object.GetAttributes()))
		for name, field := range b.Object.GetAttributes() {
			if spec := specFromWire(field); spec != nil {
				fields[name] = spec
			}
		}
		return drivers.Object(fields)
	case *hclspec.Spec_Array:
		items := make([]*drivers.Spec, 0, len(b.Array.GetValues()))
		for _, item := range b.Array.GetValues() {
			if spec := specFromWire(item); spec != nil {
				items = append(items, spec)
			}
		}
		return &drivers.Spec{Kind: drivers.SpecArray, Items: items}
	case *hclspec.Spec_Attr:
		return &drivers.Spec{Kind: drivers.SpecAttr, Name: b.Attr.GetName(), Type: b.Attr.GetType(), Required: b.Attr.GetRequired()}
	case *hclspec.Spec_Default:
		return &drivers.Spec{Kind: drivers.SpecDefault, Nested: specFromWire(b.Default.GetPrimary()), Fallback: specFromWire(b.Default.GetDefault())}
	case *hclspec.Spec_Literal:
		return &drivers.Spec{Kind: drivers.SpecLiteral, Value: b.Literal.GetValue()}
	}
	return blockFromWire(s)
}

func blockFromWire(s *hclspec.Spec) *drivers.Spec {
	switch b := s.GetBlock().(type) {
	case *hclspec.Spec_BlockValue:
		v := b.BlockValue
		return &drivers.Spec{Kind: drivers.SpecBlock, Name: v.GetName(), Required: v.GetRequired(), Nested: specFromWire(v.GetNested())}
	case *hclspec.Spec_BlockAttrs:
		v := b.BlockAttrs
		return &drivers.Spec{Kind: drivers.SpecBlockAttrs, Name: v.GetName(), Type: v.GetType(), Required: v.GetRequired()}
	case *hclspec.Spec_BlockList:
		v := b.BlockList
		return &drivers.Spec{Kind: drivers.SpecBlockList, Name: v.GetName(), MinItems: v.GetMinItems(), MaxItems: v.GetMaxItems(), Nested: specFromWire(v.GetNested())}
	case *hclspec.Spec_BlockSet:
		v := b.BlockSet
		return &drivers.Spec{Kind: drivers.SpecBlockSet, Name: v.GetName(), MinItems: v.GetMinItems(), MaxItems: v.GetMaxItems(), Nested: specFromWire(v.GetNested())}
	case *hclspec.Spec_BlockMap:
		v := b.BlockMap
		return &drivers.Spec{Kind: drivers.SpecBlockMap, Name: v.GetName(), Labels: v.GetLabels(), Nested: specFromWire(v.GetNested())}
	}
	return nil
}
