package replay

import (
	"bytes"
	"io"
	"time"

	"github.com/steppe-run/steppe/internal/archive"
	"github.com/steppe-run/steppe/state"
)

// Save writes a state as `operator snapshot save` does, so that Read finds it
// again.
func Save(w io.Writer, s *state.Snapshot, at time.Time) error {
	var image bytes.Buffer
	if err := s.Persist(&image); err != nil {
		return err
	}
	return archive.Write(w, archive.Meta{Index: s.Index(), Time: at, Server: "simulated", Size: int64(image.Len())}, &image)
}
