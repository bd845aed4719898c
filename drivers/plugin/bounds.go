package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/logx"
)

const (
	// printPause and eventPause are the least between two messages of a
	// stream: what a plugin tells goes to the servers.
	printPause = time.Second
	eventPause = 10 * time.Millisecond
	// maxAttributes, maxText and maxNotes bound what of it is kept.
	maxAttributes = 512
	maxText       = 4 << 10
	maxNotes      = 64
)

// plausible is a fingerprint with nothing in it that isn't the driver's to say:
// it tells of itself, and not what the node is.
func (in *instance) plausible(fp *drivers.Fingerprint) *drivers.Fingerprint {
	out := *fp
	out.Description, out.Err = cut(fp.Description), cut(fp.Err)
	out.Attributes = map[string]string{}
	dropped := 0
	for _, key := range slices.Sorted(maps.Keys(fp.Attributes)) {
		value := fp.Attributes[key]
		foreign := !strings.HasPrefix(key, "driver.") && !strings.HasPrefix(key, "unique.driver.")
		if foreign || len(key) > maxText || len(value) > maxText || len(out.Attributes) >= maxAttributes {
			dropped++
			continue
		}
		out.Attributes[key] = value
	}
	if dropped > 0 {
		in.logger.Warn("attributes of a driver are left out: their names must begin with driver., and there are limits", logx.KeyCount, dropped)
		out.Description = strings.TrimPrefix(fmt.Sprintf("%s; %d attributes are left out", out.Description, dropped), "; ")
	}
	return &out
}

// shortened is an event that fits into a task's list of events.
func shortened(e *drivers.Event) *drivers.Event {
	out := *e
	out.Message = cut(e.Message)
	out.Annotations = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(e.Annotations)) {
		if len(out.Annotations) < maxNotes && len(key) <= maxText {
			out.Annotations[key] = cut(e.Annotations[key])
		}
	}
	return &out
}

// cut shortens a text, and leaves out what is no text.
func cut(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	if !utf8.ValidString(text) {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return text
}
