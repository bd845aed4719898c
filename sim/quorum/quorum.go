// Package quorum is the replicated log of simulated servers: what Raft promises,
// without its timers. An entry is committed once a majority has it on disk; a
// leader is elected by a majority of servers whose logs are not newer; what a
// leader had proposed and not committed may survive it or not.
//
// It must not know what entries mean. Begin reading at Region, then Member.
package quorum

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/steppe-run/steppe/sim/virtual"
	"github.com/steppe-run/steppe/sim/wire"
)

// Times of the servers: how long until an isolated leader notices, and until the
// others elect another one.
const (
	leaseMin, leaseSpread       = 300 * time.Millisecond, 1200 * time.Millisecond
	electionMin, electionSpread = 500 * time.Millisecond, 2000 * time.Millisecond
	flushSpread                 = 200 * time.Microsecond
)

// Entry is one place of the log.
type Entry struct {
	Term uint64
	// Data is nil for the entry by which a leader begins its term.
	Data []byte
}

// Region is a group of servers that share a log.
type Region struct {
	runtime *virtual.Runtime
	net     *wire.Net
	random  *rand.Rand
	members []*Member
	term    uint64
	// base is the index of the entry before the log's first one: what came before
	// is in the snapshot that every server begins with.
	base uint64
}

// New returns a region without servers, whose log begins after the entry at base.
func New(runtime *virtual.Runtime, net *wire.Net, random *rand.Rand, base uint64) *Region {
	return &Region{runtime: runtime, net: net, random: random, base: base}
}

// Owner is what runs on a server.
type Owner interface {
	// Apply is called with the entries that were committed, in their order, from
	// index on, and returns their results.
	Apply(index uint64, entries []Entry) []any
	// Leads tells that the server leads from now on.
	Leads()
	// Follows tells that it leads no more.
	Follows()
}

// Add adds a server, which is down.
func (g *Region) Add(name string) *Member {
	m := &Member{g: g, name: name}
	g.members = append(g.members, m)
	return m
}

// Leader returns the server that leads, nil if none does; the one of the latest
// term, if an earlier one has not noticed yet.
func (g *Region) Leader() *Member {
	var leader *Member
	for _, m := range g.members {
		if m.leading && (leader == nil || m.term > leader.term) {
			leader = m
		}
	}
	return leader
}

// Changed has the servers find out, in their time, that one of them came or went
// or that the network changed.
func (g *Region) Changed() {
	for _, m := range g.members {
		if m.leading {
			g.runtime.After(leaseMin+g.chance(leaseSpread), m.checkLease)
		}
	}
	g.runtime.After(electionMin+g.chance(electionSpread), g.elect)
}

// Transfer moves leadership to another server that has the whole log.
func (g *Region) Transfer() bool {
	leader := g.Leader()
	if leader == nil {
		return false
	}
	fit := slices.DeleteFunc(slices.Clone(g.members), func(m *Member) bool {
		return m == leader || !m.up || len(m.log) < len(leader.log) || !g.majority(m)
	})
	if len(fit) == 0 {
		return false
	}
	leader.stepDown()
	g.raise(fit[g.random.IntN(len(fit))])
	return true
}

// elect makes a new leader if there is none that a majority follows.
func (g *Region) elect() {
	for _, m := range g.members {
		if m.leading && g.majority(m) {
			m.flush() // who was away hears what it has missed
			return
		}
	}
	var fit []*Member
	for _, m := range g.members {
		if m.up && !m.leading && g.votes(m) > len(g.members)/2 {
			fit = append(fit, m)
		}
	}
	if len(fit) > 0 {
		g.raise(fit[g.random.IntN(len(fit))])
	}
}

func (g *Region) raise(m *Member) {
	g.term++
	m.lead(g.term)
}

// votes counts the servers that would elect m, itself among them.
func (g *Region) votes(m *Member) int {
	n := 0
	for _, v := range g.members {
		if v.up && g.linked(m, v) && !v.newerThan(m) {
			n++
		}
	}
	return n
}

// majority reports whether m can exchange messages with most of the servers.
func (g *Region) majority(m *Member) bool {
	n := 0
	for _, v := range g.members {
		if v.up && g.linked(m, v) {
			n++
		}
	}
	return m.up && n > len(g.members)/2
}

func (g *Region) linked(a, b *Member) bool {
	return a == b || g.net.Reaches(a.name, b.name) && g.net.Reaches(b.name, a.name)
}

func (g *Region) chance(d time.Duration) time.Duration {
	return time.Duration(g.random.Int64N(int64(d)))
}
