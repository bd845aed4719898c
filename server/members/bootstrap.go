package members

import (
	"context"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
)

const (
	// settle is how long the view of who is here must have been the same
	// before it becomes the first configuration.
	settle = 300 * time.Millisecond
	// glance is how often what gossip doesn't tell is looked at.
	glance = 100 * time.Millisecond
	// proveAgain is how long a server that could not prove itself waits.
	proveAgain = time.Second
)

// Voter is a member of Raft's configuration.
type Voter struct{ ID, Addr string }

// Bootstrap waits until BootstrapExpect servers are here, all see the same ones
// and none belongs to a cluster, and then calls bootstrap on exactly one of them: the one with the
// lowest ID. The others learn of the cluster from it. It returns nil when this
// server needs no bootstrap any more, or ctx ended.
func (m *Members) Bootstrap(ctx context.Context, hasState func() bool, bootstrap func([]Voter) error) error {
	view := &view{same: m.clock.Now()}
	for {
		changed := m.Changed()
		if hasState() {
			m.setTag(tagState, "1")
			return nil
		}
		pause := glance
		if voters := m.settled(view); voters != nil {
			if m.proven(ctx, voters) {
				m.log.Info("making a new cluster", logx.KeyCount, len(voters))
				if err := bootstrap(voters); err != nil {
					return err
				}
				m.setTag(tagState, "1")
				return nil
			}
			pause = proveAgain
		}
		if !m.await(ctx, changed, pause) {
			return nil
		}
	}
}

// view is who would make up a new cluster, and since when that has been so.
type view struct {
	voters []Voter
	same   time.Time
}

// settled returns those who make up a new cluster, once that has not changed for
// a while; nil while this server has none to make.
func (m *Members) settled(v *view) []Voter {
	list, local, expect := m.List(), m.Local(), m.cfg.BootstrapExpect
	if seen, why := candidates(list, local, expect); why == "" {
		m.setTag(tagSees, signature(seen)) // the others wait until we agree
	}
	voters, why := firstVoters(m.List(), m.Local(), expect)
	if !slices.Equal(voters, v.voters) {
		v.voters, v.same = voters, m.clock.Now()
		if why != "" {
			m.log.Info("no cluster yet", logx.KeyReason, why)
		}
	}
	if len(voters) == 1 && expect == 1 || len(voters) > 0 && m.clock.Now().Sub(v.same) >= settle {
		return voters
	}
	return nil
}

// proven reports whether all others have the cluster's certificate.
func (m *Members) proven(ctx context.Context, voters []Voter) bool {
	for _, v := range voters {
		if v.ID == m.cfg.ID {
			continue
		}
		if err := m.Prove(ctx, v.Addr); err != nil {
			m.log.Warn("no cluster yet: a server that gossips does not prove that it belongs here; if it is yours, look at its certificate",
				logx.KeyAddr, v.Addr, logx.KeyError, err)
			return false
		}
	}
	return true
}

// Prove asks the server at an address for the cluster's certificate.
func (m *Members) Prove(ctx context.Context, rpcAddr string) error {
	if m.cfg.Prove == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return m.cfg.Prove(ctx, rpcAddr)
}

// candidates are the servers that would make up a new cluster as this one sees
// it, sorted by ID; or why there can be none. Servers without bootstrap_expect
// are added by the leader later.
func candidates(list []Member, local Member, expect int) (voters []Member, why string) {
	if expect == 0 {
		return nil, "this server waits to be added to a cluster: bootstrap_expect is not set"
	}
	for _, s := range list {
		if s.Region != local.Region || s.Status != StatusAlive {
			continue
		}
		switch {
		case s.HasState:
			return nil, "a cluster exists, its leader will add this server"
		case s.Expect == 0:
			continue
		case s.Expect != expect:
			return nil, "servers disagree: " + s.Name + " has another bootstrap_expect"
		}
		voters = append(voters, s)
	}
	slices.SortFunc(voters, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return voters, ""
}

// signature stands for a list of candidates, short enough to be gossiped.
func signature(voters []Member) string {
	h := fnv.New64a()
	for _, v := range voters {
		_, _ = io.WriteString(h, v.ID+"@"+v.RPCAddr+"\n") // a hash takes everything
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// firstVoters decides who makes up a new cluster, if it is for this server to
// make it; otherwise it says why not. All of them must see the very same
// servers: where more start at once than are expected, two of them that see
// different ones would each make a cluster.
func firstVoters(list []Member, local Member, expect int) (voters []Voter, why string) {
	seen, why := candidates(list, local, expect)
	switch {
	case why != "":
		return nil, why
	case len(seen) < expect:
		return nil, "waiting for more servers"
	case seen[0].ID != local.ID:
		return nil, "another server makes the cluster"
	}
	same := signature(seen)
	for _, s := range seen {
		if s.Sees != same {
			return nil, "waiting until " + s.Name + " sees the same servers"
		}
		voters = append(voters, Voter{ID: s.ID, Addr: s.RPCAddr})
	}
	return voters, ""
}
