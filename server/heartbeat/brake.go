package heartbeat

import "time"

// Roll is how many nodes answer at a moment. Nodes that are known to be silent
// are not in it.
type Roll struct {
	// Nodes are watched, Silent of them should have been heard of by now.
	Nodes, Silent int
	// Called and Missed are the nodes that were to call in the last period of grace,
	// and did or didn't. Where the time to live is long that says what became of the
	// nodes long before all of those that are gone are overdue.
	Called, Missed int
}

// Roll counts the nodes.
func (t *Tracker) Roll(now time.Time) Roll {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.look(now)
	// Who is late by less may be about to call: it tries once a second.
	recent := now.Add(-t.opts.Grace / 5)
	since := now.Add(-t.opts.Grace)
	var r Roll
	for _, d := range t.queue {
		if d.idle {
			continue
		}
		r.Nodes++
		silent := !d.at.Add(-t.opts.Grace).After(recent)
		switch {
		case silent && !d.heard.IsZero():
			r.Silent++
			r.Missed++
		case silent:
			r.Silent++ // a new leader gave all of them one moment: it says nothing of a share
		case d.heard.After(since) && !d.heard.After(recent):
			r.Called++
		}
	}
	return r
}

// Brake says when so many nodes are silent that they are hardly all dead: then
// it is more likely that they can't be heard.
type Brake struct {
	// Percent is the share of nodes that may fall silent together, 100 for all.
	Percent int
	// MinNodes is how many nodes there must be at least.
	MinNodes int
}

// Holds reports whether nodes that are silent shouldn't be given up, besides
// those of the roll gone ones that were given up or held back lately.
func (b Brake) Holds(r Roll, gone int) bool {
	nodes, silent := r.Nodes+gone, r.Silent+gone
	if nodes < b.MinNodes || b.Percent >= 100 {
		return false
	}
	enough := b.MinNodes * b.Percent / 100
	return b.exceeded(silent, nodes) || r.Missed > enough && b.exceeded(r.Missed, r.Missed+r.Called)
}

func (b Brake) exceeded(silent, of int) bool { return silent*100 > b.Percent*of }
