//go:build linux

package pull

import (
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/jsonstream"
)

// maxLayers bounds what a registry can have us remember of one image.
const maxLayers = 1000

// layers is how far the layers of an image are.
type layers map[string]layer

type layer struct {
	status         string
	current, total int64
	done           bool
}

// note takes one message of the engine and reports whether it tells of any
// progress: an engine that repeats itself stands still.
func (l layers) note(m *jsonstream.Message) bool {
	if m.ID == "" || strings.HasPrefix(m.Status, "Pulling from") {
		return true
	}
	old, known := l[m.ID]
	if !known && len(l) >= maxLayers {
		return false
	}
	now := old
	now.status = m.Status
	switch m.Status {
	case "Already exists", "Pull complete":
		now.done, now.current = true, now.total
	case "Downloading":
		if m.Progress != nil && m.Progress.Total > 0 {
			now.current, now.total = m.Progress.Current, m.Progress.Total
		}
	case "Extracting":
		// Its progress counts other bytes than those of the download, but it is some.
		now.current = now.total
		l[m.ID] = now
		return true
	case "Download complete":
		now.current = now.total
	}
	l[m.ID] = now
	return !known || now != old
}

// String says how far the whole is.
func (l layers) String() string {
	done := 0
	var current, total int64
	for _, one := range l {
		if one.done {
			done++
		}
		current, total = current+one.current, total+one.total
	}
	if total == 0 {
		return fmt.Sprintf("%d of %d layers are there", done, len(l))
	}
	return fmt.Sprintf("%d of %d layers are there, %s of %s MiB of what is downloaded now", done, len(l), mib(current), mib(total))
}

func mib(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }
