package link

import (
	"fmt"

	"github.com/steppe-run/steppe/internal/wire"
)

// MaxMessage is the largest message of the link.
const MaxMessage = 64 << 20

// Nouns travel in the form in which the log keeps them: with secrets, which the
// public API leaves out, and without what is zero.

// PackNoun turns a noun, or a slice of nouns, into bytes.
func PackNoun(v any) ([]byte, error) {
	out, err := wire.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out, nil
}

// UnpackNoun reads what PackNoun wrote. It accepts any bytes: what doesn't fit
// is an error.
func UnpackNoun(data []byte, v any) error {
	if err := wire.Unmarshal(data, v); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}
