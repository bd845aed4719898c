package config

import (
	"fmt"
	"math/big"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/zclconf/go-cty/cty"
)

// Marshal writes a value as msgpack: objects and maps with sorted keys, every
// attribute present, numbers in their smallest form, decimals that no float64
// holds as text.
func Marshal(v cty.Value) ([]byte, error) {
	plain, err := toPlain(v)
	if err != nil {
		return nil, err
	}
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical = true
	h.PositiveIntUnsigned = true
	var out []byte
	if err := codec.NewEncoderBytes(&out, h).Encode(plain); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return out, nil
}

func toPlain(v cty.Value) (any, error) {
	typ := v.Type()
	switch {
	case !v.IsKnown() || typ.IsCapsuleType():
		return nil, fmt.Errorf("a value of type %s can't be sent to a plugin", typ.FriendlyName())
	case v.IsNull():
		return nil, nil
	case typ == cty.String:
		return v.AsString(), nil
	case typ == cty.Bool:
		return v.True(), nil
	case typ == cty.Number:
		return plainNumber(v.AsBigFloat()), nil
	case typ.IsListType() || typ.IsSetType() || typ.IsTupleType():
		out := make([]any, 0, v.LengthInt())
		for _, item := range v.AsValueSlice() {
			plain, err := toPlain(item)
			if err != nil {
				return nil, err
			}
			out = append(out, plain)
		}
		return out, nil
	}
	out := map[string]any{}
	for key, item := range v.AsValueMap() {
		plain, err := toPlain(item)
		if err != nil {
			return nil, err
		}
		out[key] = plain
	}
	return out, nil
}

func plainNumber(n *big.Float) any {
	if n.IsInf() {
		f, _ := n.Float64()
		return f
	}
	if i, accuracy := n.Int64(); accuracy == big.Exact {
		return i
	}
	if f, accuracy := n.Float64(); accuracy == big.Exact && !n.IsInt() {
		return f
	}
	return n.Text('f', -1)
}
