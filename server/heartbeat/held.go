package heartbeat

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Held is what a leader remembers of nodes that fell silent together. Which are
// held back stands in the replicated state, so that the next leader goes on with
// it; the rest is forgotten with the term. It is safe for concurrent use.
type Held struct {
	brake Brake
	hold  time.Duration

	mu   sync.Mutex
	held map[string]int64 // node id: since when
	lost []loss           // the latest that were given up
	// open is until when everything is given up, since a person said so.
	open time.Time
	// eased is set once those that are still silent were given another time to live.
	eased bool
}

// loss is how many nodes were given up at a moment.
type loss struct {
	at    time.Time
	nodes int
}

// NewHeld returns the memory of a leader that holds back what the brake says, for
// so long, less than 0 for ever.
func NewHeld(brake Brake, hold time.Duration) *Held {
	return &Held{brake: brake, hold: hold, held: map[string]int64{}}
}

// Note remembers since when (Unix nanoseconds) a node is held back, 0 for not.
func (h *Held) Note(nodeID string, since int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if since == 0 {
		delete(h.held, nodeID)
		return
	}
	h.held[nodeID] = since
}

// Replace remembers which nodes are held back, and since when, in place of all
// that was noted before.
func (h *Held) Replace(held map[string]int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = held
}

// Lost remembers that nodes were given up.
func (h *Held) Lost(n int, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = append(h.lost, loss{now, n})
}

// Holds reports whether nodes that expire now are held back. Those that were
// given up within the window count.
func (h *Held) Holds(r Roll, window time.Duration, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Before(h.open) {
		return false
	}
	h.lost = slices.DeleteFunc(h.lost, func(l loss) bool { return !l.at.After(now.Add(-window)) })
	gone := len(h.held)
	for _, l := range h.lost {
		gone += l.nodes
	}
	brake := h.brake
	if len(h.held) > 0 { // what is held back stays so, also if nodes that were lost before count no more
		brake.MinNodes = min(brake.MinNodes, r.Nodes+gone)
	}
	return brake.Holds(r, gone)
}

// All lists the nodes that are held back.
func (h *Held) All() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.held))
}

// Due is when what is held back is given up all the same, zero for never.
func (h *Held) Due() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.held) == 0 || h.hold < 0 {
		return time.Time{}
	}
	return time.Unix(0, slices.Min(slices.Collect(maps.Values(h.held)))).Add(h.hold)
}

// Open has everything given up until then.
func (h *Held) Open(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = until
}

// Ease says whether those that are held back were given another time to live, and
// returns whether they were before.
func (h *Held) Ease(eased bool) (before bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, h.eased = h.eased, eased
	return before
}
