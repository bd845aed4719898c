package command

import (
	"errors"
	"fmt"
)

// UnknownEntryError is returned for a log entry that this build can't read: of
// a newer version, or of a kind it doesn't know.
type UnknownEntryError struct {
	Version, Kind byte
}

// Error implements error.
func (e *UnknownEntryError) Error() string {
	return fmt.Sprintf("log entry of version %d, kind %d is not known to this version of Steppe: upgrade this server", e.Version, e.Kind)
}

// Encode returns a command as a log entry.
func Encode(c Command) ([]byte, error) { return nil, errors.New("encode command: not written yet") }

// Decode reads a log entry. It accepts any bytes: what isn't an entry is an
// error, and memory is bounded by what was given.
func Decode(data []byte) (Command, error) {
	return nil, errors.New("decode command: not written yet")
}
