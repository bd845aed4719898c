package quorum

import (
	"context"
	"errors"
	"slices"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/sim/virtual"
)

// What becomes of a proposal that isn't committed here.
var (
	// ErrNotLeader: it was not proposed at all.
	ErrNotLeader = errors.New("this server doesn't lead")
	// ErrLeadershipLost: it may be committed by another leader, or not.
	ErrLeadershipLost = errors.New("leadership was lost while the entry was under way")
)

// Member is one server's part in the log. What is called durable survives Down.
type Member struct {
	g    *Region
	name string

	log  []Entry // durable; the entry of index i at i-1-base of the region
	term uint64  // durable

	up       bool
	machine  *virtual.Machine
	owner    Owner
	commit   uint64
	applied  uint64
	leading  bool
	match    map[*Member]uint64
	futures  map[uint64]*Future
	flushing bool
}

// Future is an entry under way.
type Future struct {
	done   chan struct{}
	index  uint64
	result any
	err    error
}

// Wait returns what applying the entry gave.
func (f *Future) Wait(ctx context.Context) (index uint64, result any, err error) {
	if _, err := loop.Await(ctx, f.done); err != nil {
		return 0, nil, err
	}
	return f.index, f.result, f.err
}

func (f *Future) settle(result any, err error) {
	f.result, f.err = result, err
	close(f.done)
}

// Up begins a life of the server, on a machine of its own; what it has applied
// so far is in a snapshot up to an index.
func (m *Member) Up(machine *virtual.Machine, owner Owner, applied uint64) {
	m.up, m.machine, m.owner = true, machine, owner
	m.commit, m.applied = applied, applied
	m.leading, m.match, m.futures, m.flushing = false, nil, map[uint64]*Future{}, false
	m.g.Changed()
}

// Down ends it: what isn't durable is gone.
func (m *Member) Down() {
	m.up, m.leading, m.owner, m.machine, m.futures = false, false, nil, nil, nil
	m.g.Changed()
}

// IsUp reports whether the server is up.
func (m *Member) IsUp() bool { return m.up }

// Leading reports whether it leads, as far as it knows.
func (m *Member) Leading() bool { return m.leading }

// Applied is the index of the last entry that was applied here.
func (m *Member) Applied() uint64 { return m.applied }

// end is the index of the last entry of a log of the region.
func (g *Region) end(log []Entry) uint64 { return g.base + uint64(len(log)) }

// Propose begins to commit an entry.
func (m *Member) Propose(data []byte) (*Future, error) {
	if !m.up || !m.leading {
		return nil, ErrNotLeader
	}
	m.log = append(m.log, Entry{Term: m.term, Data: data})
	f := &Future{done: make(chan struct{}), index: m.g.end(m.log)}
	m.futures[f.index] = f
	m.flushSoon()
	return f, nil
}

func (m *Member) lead(term uint64) {
	m.term, m.leading = term, true
	m.match = map[*Member]uint64{}
	m.log = append(m.log, Entry{Term: term})
	m.owner.Leads()
	m.flush()
}

// checkLease ends the leadership of a server that most others don't hear.
func (m *Member) checkLease() {
	if m.up && m.leading && !m.g.majority(m) {
		m.stepDown()
	}
}

func (m *Member) stepDown() {
	m.leading = false
	futures := m.futures
	m.futures = map[uint64]*Future{}
	for _, index := range sortedKeys(futures) {
		futures[index].settle(nil, ErrLeadershipLost)
	}
	m.owner.Follows()
	m.machine.Look()
}

// newerThan reports whether this log is further than another's, as voters
// compare them.
func (m *Member) newerThan(other *Member) bool {
	own, its := m.lastTerm(), other.lastTerm()
	return own > its || own == its && len(m.log) > len(other.log)
}

func (m *Member) lastTerm() uint64 {
	if len(m.log) == 0 {
		return 0
	}
	return m.log[len(m.log)-1].Term
}

// flushSoon sends what was proposed within a moment together.
func (m *Member) flushSoon() {
	if m.flushing {
		return
	}
	m.flushing = true
	m.g.runtime.After(m.g.chance(flushSpread), func() {
		m.flushing = false
		if m.up && m.leading {
			m.flush()
		}
	})
}

// flush sends the log, as far as others may lack it, to everyone.
func (m *Member) flush() {
	term, log, commit := m.term, m.log[:len(m.log):len(m.log)], m.commit
	for _, other := range m.g.members {
		if other != m {
			m.g.net.Send(m.name, other.name, func() { other.take(m, term, log, commit) })
		}
	}
	m.advance()
}

// take receives a leader's log.
func (m *Member) take(leader *Member, term uint64, log []Entry, commit uint64) {
	if !m.up || term < m.term {
		return
	}
	if term > m.term && m.leading {
		m.stepDown()
	}
	m.term = term
	same := m.agree(log)
	if same < len(log) {
		if same < len(m.log) {
			m.log = slices.Clone(m.log[:same]) // what nobody committed is replaced
		}
		m.log = append(m.log, log[same:]...)
	}
	matched := m.g.end(log)
	m.applyTo(min(commit, matched))
	m.g.net.Send(m.name, leader.name, func() { leader.acked(m, term, matched) })
}

// agree returns how many entries from the first on the logs have in common: as
// many as up to the last one of the same index and term.
func (m *Member) agree(log []Entry) int {
	n := min(len(m.log), len(log))
	for n > 0 && m.log[n-1].Term != log[n-1].Term {
		n--
	}
	return n
}

func (m *Member) acked(from *Member, term, matched uint64) {
	if !m.up || !m.leading || term != m.term {
		return
	}
	m.match[from] = max(m.match[from], matched)
	if m.advance() {
		m.flushSoon() // the others are told that it is committed
	}
}

// advance commits what a majority has, of the leader's own term.
func (m *Member) advance() bool {
	have := []uint64{m.g.end(m.log)}
	for _, other := range m.g.members {
		if other != m {
			have = append(have, m.match[other])
		}
	}
	slices.Sort(have)
	commit := have[(len(have)-1)/2]
	if commit <= m.commit || m.log[commit-1-m.g.base].Term != m.term {
		return false
	}
	m.applyTo(commit)
	return true
}

// applyTo applies what is committed and not applied, and settles its futures.
func (m *Member) applyTo(commit uint64) {
	if commit <= m.commit {
		return
	}
	from := m.applied
	m.commit, m.applied = commit, commit
	results := m.owner.Apply(from+1, m.log[from-m.g.base:commit-m.g.base])
	for i, result := range results {
		index := from + 1 + uint64(i)
		if f := m.futures[index]; f != nil {
			delete(m.futures, index)
			f.settle(result, nil)
		}
	}
	if m.machine != nil {
		m.machine.Look()
	}
}

func sortedKeys(futures map[uint64]*Future) []uint64 {
	out := make([]uint64, 0, len(futures))
	for index := range futures {
		out = append(out, index)
	}
	slices.Sort(out)
	return out
}
