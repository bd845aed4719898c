// Package wire turns nouns into bytes for the log, for snapshots and for the link: msgpack
// with field names, so that a field can be added without a new version, without
// the fields that are zero, and with maps in order, so that equal values have
// equal bytes.
//
// It must not know what it encodes. Begin reading at Marshal.
package wire

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// handle is how values are read; it must never change, since what was written
// must be read back.
var handle = newHandle()

func newHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.RawToString = true
	h.SignedInteger = true
	h.MapType = reflect.TypeFor[map[string]any]()
	h.MaxInitLen = 256
	h.MaxDepth = 100
	return h
}

// Marshal returns the bytes of a value. Equal values have equal bytes.
func Marshal(v any) ([]byte, error) { return Append(make([]byte, 0, 256), v) }

// Append adds the bytes of a value to out.
func Append(out []byte, v any) ([]byte, error) {
	out, err := encode(out, reflect.ValueOf(v))
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return out, nil
}

// Unmarshal reads a value. It accepts any bytes: what doesn't fit is an error,
// and memory is bounded by what was given.
func Unmarshal(data []byte, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode %T: %v", v, r)
		}
	}()
	d := codec.NewDecoderBytes(data, handle)
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	if n := d.NumBytesRead(); n != len(data) {
		return fmt.Errorf("decode %T: %d bytes follow", v, len(data)-n)
	}
	return nil
}
