package members

import (
	"context"
	"slices"
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
)

// Voter is a member of Raft's configuration.
type Voter struct{ ID, Addr string }

// Bootstrap waits until BootstrapExpect servers are here and none belongs to a
// cluster, and then calls bootstrap on exactly one of them: the one with the
// lowest ID. The others learn of the cluster from it. It returns nil when this
// server needs no bootstrap any more, or ctx ended.
func (m *Members) Bootstrap(ctx context.Context, hasState func() bool, bootstrap func([]Voter) error) error {
	var last []Voter
	same := m.clock.Now()
	for {
		changed := m.Changed()
		if hasState() {
			m.setTag(tagState, "1")
			return nil
		}
		voters, why := firstVoters(m.List(), m.Local(), m.cfg.BootstrapExpect)
		if !slices.Equal(voters, last) {
			last, same = voters, m.clock.Now()
			if why != "" {
				m.log.Info("no cluster yet", logx.KeyReason, why)
			}
		}
		if len(voters) == 1 && m.cfg.BootstrapExpect == 1 || len(voters) > 0 && m.clock.Now().Sub(same) >= settle {
			m.log.Info("making a new cluster", logx.KeyCount, len(voters))
			if err := bootstrap(voters); err != nil {
				return err
			}
			m.setTag(tagState, "1")
			return nil
		}
		if !m.await(ctx, changed, glance) {
			return nil
		}
	}
}

// firstVoters decides who makes up a new cluster, if it is for this server to
// make it; otherwise it says why not.
func firstVoters(list []Member, local Member, expect int) (voters []Voter, why string) {
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
		case s.Expect != expect && s.Expect != 0:
			return nil, "servers disagree: " + s.Name + " has another bootstrap_expect"
		}
		voters = append(voters, Voter{ID: s.ID, Addr: s.RPCAddr})
	}
	slices.SortFunc(voters, func(a, b Voter) int { return strings.Compare(a.ID, b.ID) })
	switch {
	case len(voters) < expect:
		return nil, "waiting for more servers"
	case voters[0].ID != local.ID:
		return nil, "another server makes the cluster"
	}
	return voters, ""
}
