// Package wire is the network between simulated machines: messages that take
// their time, come twice, come late or don't come, as faults ask for.
//
// It must not know what is sent. Begin reading at Net.
package wire

import (
	"math/rand/v2"
	"time"

	"github.com/steppe-run/steppe/sim/virtual"
)

// Net carries messages between hosts, known by their names.
type Net struct {
	runtime *virtual.Runtime
	random  *rand.Rand
	cut     map[link]bool
	faults  Faults
	sent    map[string]int
}

type link struct{ from, to string }

// Faults say how messages fare beyond a latency of half a millisecond to two.
type Faults struct {
	// Late is how often, in 1,000, a message takes up to LateBy.
	Late   int
	LateBy time.Duration
	// Twice is how often, in 1,000, a message comes a second time.
	Twice int
}

// New returns a network without faults.
func New(runtime *virtual.Runtime, random *rand.Rand) *Net {
	return &Net{runtime: runtime, random: random, cut: map[link]bool{}, sent: map[string]int{}}
}

// SetFaults changes how messages fare from now on.
func (n *Net) SetFaults(f Faults) { n.faults = f }

// Cut stops messages in one direction, also those on their way.
func (n *Net) Cut(from, to string) { n.cut[link{from, to}] = true }

// Heal ends Cut.
func (n *Net) Heal(from, to string) { delete(n.cut, link{from, to}) }

// HealAll ends every Cut, and the faults.
func (n *Net) HealAll() {
	clear(n.cut)
	n.faults = Faults{}
}

// Whole reports whether there are no faults.
func (n *Net) Whole() bool { return len(n.cut) == 0 && n.faults == Faults{} }

// Reaches reports whether messages go from one host to another, right now.
func (n *Net) Reaches(from, to string) bool { return !n.cut[link{from, to}] }

// Send has deliver called after the message's latency, unless it is lost. It
// may be called twice.
func (n *Net) Send(from, to string, deliver func()) {
	if !n.Reaches(from, to) {
		n.sent["lost"]++
		return
	}
	n.carry(from, to, deliver, nil)
	if n.random.IntN(1000) < n.faults.Twice {
		n.sent["twice"]++
		n.carry(from, to, deliver, nil)
	}
}

// SendOnce is Send for a stream, in which nothing comes twice and what is lost
// breaks the stream: then lost is called instead.
func (n *Net) SendOnce(from, to string, deliver, lost func()) {
	if n.Reaches(from, to) {
		n.carry(from, to, deliver, lost)
	} else {
		n.sent["lost"]++
		lost()
	}
}

func (n *Net) carry(from, to string, deliver, lost func()) {
	latency := 500*time.Microsecond + time.Duration(n.random.IntN(1500))*time.Microsecond
	if n.random.IntN(1000) < n.faults.Late {
		n.sent["late"]++
		latency += time.Duration(n.random.Int64N(int64(n.faults.LateBy) + 1))
	}
	n.runtime.After(latency, func() {
		if n.Reaches(from, to) {
			deliver()
			return
		}
		n.sent["lost"]++
		if lost != nil {
			lost()
		}
	})
}

// Counts are how many messages were lost, late or doubled.
func (n *Net) Counts() map[string]int { return n.sent }
