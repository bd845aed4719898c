package heartbeat

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// The quarantine of a node begins with its loss and is twice as long each time.
const (
	firstQuarantine   = 2 * time.Minute
	longestQuarantine = 10 * time.Minute
)

// QuarantineEnd is until when a node that was lost takes no placements once it
// is back: what is placed on one that comes and goes would be moved again and
// again. after is from the how manyeth loss on, 0 for never; a node that was not
// lost so often has none, and that is the zero time.
func QuarantineEnd(n *structs.Node, after int) time.Time {
	if after <= 0 || n.Losses < after {
		return time.Time{}
	}
	doubled := min(n.Losses-after, 8) // far beyond the longest
	return time.Unix(n.LostAt, 0).Add(min(firstQuarantine<<doubled, longestQuarantine))
}

// Quarantine is what a leader remembers of the nodes that take no placements for
// a while; it stands in the replicated state. It is safe for concurrent use.
type Quarantine struct {
	mu    sync.Mutex
	until map[string]int64 // node id: until when
}

// Note remembers until when (Unix nanoseconds) a node is in quarantine, 0 for
// not.
func (q *Quarantine) Note(nodeID string, until int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if until == 0 {
		delete(q.until, nodeID)
		return
	}
	if q.until == nil {
		q.until = map[string]int64{}
	}
	q.until[nodeID] = until
}

// Replace remembers which nodes are in quarantine, and until when, in place of all
// that was noted before.
func (q *Quarantine) Replace(until map[string]int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.until = until
}

// Due lists the nodes whose quarantine is over.
func (q *Quarantine) Due(now time.Time) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var due []string
	for _, id := range slices.Sorted(maps.Keys(q.until)) {
		if q.until[id] <= now.UnixNano() {
			due = append(due, id)
		}
	}
	return due
}
