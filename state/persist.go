package state

import (
	"errors"
	"io"
)

func persist(w io.Writer, t *tables) error { return errors.New("persist state: not written yet") }

func restore(r io.Reader) (*tables, error) { return nil, errors.New("restore state: not written yet") }

func stateHash(t *tables) [32]byte { return [32]byte{} }
