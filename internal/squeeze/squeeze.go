// Package squeeze makes bytes that are kept on many machines smaller, and whole
// again.
//
// It must not know what they are. Begin reading at Pack.
package squeeze

import (
	"errors"
	"fmt"

	"github.com/golang/snappy"
)

// ErrTooLarge is returned for what would be larger than its reader allows.
var ErrTooLarge = errors.New("it is larger than it may be")

// Pack returns data in snappy's block format; nothing for nothing.
func Pack(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	return snappy.Encode(nil, data)
}

// Unpack returns what Pack was given. It takes no more memory than limit,
// whatever the bytes say.
func Unpack(packed []byte, limit int) ([]byte, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	n, err := snappy.DecodedLen(packed)
	if err != nil {
		return nil, fmt.Errorf("read packed length: %w", err)
	}
	if n > limit {
		return nil, fmt.Errorf("unpack %d bytes of at most %d: %w", n, limit, ErrTooLarge)
	}
	data, err := snappy.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return data, nil
}
