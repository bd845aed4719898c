package drivers

import (
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// DecodeConfig reads a TaskConfig.Config, or the config given to Configure,
// into a struct whose fields carry `codec:"name"` tags. Absent and null
// values leave zero values; unknown keys are ignored.
func DecodeConfig(data []byte, into any) error {
	if len(data) == 0 {
		return nil
	}
	h := &codec.MsgpackHandle{}
	h.RawToString = true
	if err := codec.NewDecoderBytes(data, h).Decode(into); err != nil {
		return fmt.Errorf("decode driver configuration: %w", err)
	}
	return nil
}

// EncodeState writes a driver's own state as msgpack, for Handle.DriverState.
func EncodeState(v any) ([]byte, error) {
	var out []byte
	h := &codec.MsgpackHandle{WriteExt: true}
	if err := codec.NewEncoderBytes(&out, h).Encode(v); err != nil {
		return nil, fmt.Errorf("encode driver state: %w", err)
	}
	return out, nil
}
