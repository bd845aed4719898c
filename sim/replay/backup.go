// Package replay asks "what if" of a real region: it reads what was saved of its
// state, and tells what a story that began there has changed.
//
// It must not know what happens in between, and writes nothing. Begin reading at
// Open and Compare.
package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/steppe-run/steppe/internal/archive"
	"github.com/steppe-run/steppe/sim/cluster"
	"github.com/steppe-run/steppe/state/tables"
)

// maxState bounds the state of a region in bytes: it has to fit into memory
// several times.
const maxState = 4 << 30

// Open reads a snapshot: a file that `operator snapshot save` wrote, or the
// folder of one that a server has made of its log by itself.
func Open(path string) (*cluster.Origin, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		path = filepath.Join(path, "state.bin")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // was only read
	return Read(f)
}

// Read reads a snapshot.
func Read(r io.Reader) (*cluster.Origin, error) {
	in := bufio.NewReader(r)
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it is empty", archive.ErrDamaged)
	}
	image, at, err := imageOf(in)
	if err != nil {
		return nil, err
	}
	o, err := cluster.NewOrigin(image, at)
	if errors.Is(err, tables.ErrBadSnapshot) {
		return nil, fmt.Errorf("%w: %w", archive.ErrDamaged, err)
	}
	return o, err
}

// imageOf is the state as it was persisted, and when, if that is told.
func imageOf(in *bufio.Reader) (image []byte, at time.Time, err error) {
	if !archive.Is(in) {
		image, err = io.ReadAll(io.LimitReader(in, maxState))
		return image, time.Time{}, err
	}
	var state bytes.Buffer
	err = archive.Read(in, maxState, func(m archive.Meta) (io.Writer, error) {
		at = m.Time
		return &state, nil
	})
	return state.Bytes(), at, err
}
