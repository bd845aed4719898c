package link

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// MaxMessage is the largest message of the link.
const MaxMessage = 64 << 20

// nounHandle says how nouns travel. Field names are those of Go, not those of
// the public API, which leaves secrets out.
func nounHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.TypeInfos = codec.NewTypeInfos([]string{"codec"})
	h.RawToString = true
	h.SignedInteger = true
	h.MapType = reflect.TypeFor[map[string]any]()
	h.MaxInitLen = 256
	h.MaxDepth = 100
	return h
}

// handle is made once: it caches what it learns of the types.
var handle = nounHandle()

// PackNoun turns a noun, or a slice of nouns, into bytes.
func PackNoun(v any) ([]byte, error) {
	var out []byte
	if err := codec.NewEncoderBytes(&out, handle).Encode(v); err != nil {
		return nil, fmt.Errorf("pack %T: %w", v, err)
	}
	return out, nil
}

// UnpackNoun reads what PackNoun wrote. It accepts any bytes: what doesn't fit
// is an error.
func UnpackNoun(data []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library's way with bytes it can't place
			err = fmt.Errorf("unpack %T: %v", v, p)
		}
	}()
	if err := codec.NewDecoderBytes(data, handle).Decode(v); err != nil {
		return fmt.Errorf("unpack %T: %w", v, err)
	}
	return nil
}
