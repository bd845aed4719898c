package members

import (
	"context"
	"slices"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
)

const (
	// deadAfter is how long a server must be silent before one that took its
	// place makes it superfluous.
	deadAfter = 10 * time.Second
	// reconcileEvery repeats what failed, and notices what fell silent.
	reconcileEvery = 5 * time.Second
	// changeTimeout bounds one change of the configuration.
	changeTimeout = 10 * time.Second
)

// Voters is Raft's configuration, as far as membership changes it.
type Voters interface {
	Voters() ([]Voter, error)
	AddVoter(ctx context.Context, id, addr string) error
	RemoveServer(ctx context.Context, id string) error
}

// Reconcile brings Raft's configuration in line with membership until ctx
// ends. It runs on the leader.
func (m *Members) Reconcile(ctx context.Context, v Voters) error {
	silent := map[string]time.Time{} // since when a voter isn't alive
	for {
		changed := m.Changed()
		voters, err := v.Voters()
		if err != nil {
			m.log.Warn("read the configuration", logx.KeyError, err)
		} else {
			m.apply(ctx, v, m.plan(voters, silent))
		}
		if !m.await(ctx, changed, reconcileEvery) {
			return nil
		}
	}
}

// change is one change of the configuration.
type change struct {
	remove bool
	voter  Voter
	why    string
}

func (m *Members) plan(voters []Voter, silent map[string]time.Time) []change {
	now := m.clock.Now()
	list := slices.DeleteFunc(m.List(), func(s Member) bool { return s.Region != m.cfg.Region })
	alive := func(id string) bool {
		return slices.ContainsFunc(list, func(s Member) bool { return s.ID == id && s.Status == StatusAlive })
	}
	for _, v := range voters {
		if _, known := silent[v.ID]; alive(v.ID) {
			delete(silent, v.ID)
		} else if !known {
			silent[v.ID] = now
		}
	}
	p := planner{voters: voters, members: list, local: m.cfg.ID, expect: m.cfg.BootstrapExpect}
	p.dead = func(id string) bool {
		since, ok := silent[id]
		return ok && now.Sub(since) >= deadAfter
	}
	return p.changes()
}

// planner decides, from who votes and who is here, what to change.
type planner struct {
	voters  []Voter
	members []Member
	local   string
	expect  int
	dead    func(id string) bool
}

// changes come in the order in which they are safe: those who left go first,
// then new ones come, then the dead that were replaced go.
func (p planner) changes() []change {
	var out []change
	for _, s := range p.members {
		if s.ID != p.local && p.votes(s.ID) && s.Status == StatusLeft && !p.alive(s.ID) {
			out = append(out, change{remove: true, voter: Voter{s.ID, s.RPCAddr}, why: "it left"})
		}
	}
	for _, s := range p.members {
		if s.Status != StatusAlive || slices.Contains(p.voters, Voter{s.ID, s.RPCAddr}) {
			continue
		}
		for _, v := range p.voters { // an address can be in the configuration once
			if v.Addr == s.RPCAddr && v.ID != s.ID && v.ID != p.local && !p.alive(v.ID) {
				out = append(out, change{remove: true, voter: v, why: "another server has its address"})
			}
		}
		out = append(out, change{voter: Voter{s.ID, s.RPCAddr}, why: "it joined"})
	}
	if len(out) == 0 { // one kind of change at a time
		out = p.bury()
	}
	return out
}

// bury removes one dead server, if enough others are here that neither the
// quorum nor the size of the cluster suffers: it was replaced.
func (p planner) bury() []change {
	alive := 0
	for _, v := range p.voters {
		if p.alive(v.ID) {
			alive++
		}
	}
	wanted := max(p.expect, 1)
	for _, v := range p.voters {
		if v.ID != p.local && p.dead(v.ID) && alive >= wanted && alive > len(p.voters)/2 {
			return []change{{remove: true, voter: v, why: "it is dead and was replaced"}}
		}
	}
	return nil
}

func (p planner) votes(id string) bool {
	return slices.ContainsFunc(p.voters, func(v Voter) bool { return v.ID == id })
}

func (p planner) alive(id string) bool {
	return slices.ContainsFunc(p.members, func(s Member) bool { return s.ID == id && s.Status == StatusAlive })
}

func (m *Members) apply(ctx context.Context, v Voters, changes []change) {
	for _, c := range changes {
		ctx, cancel := context.WithTimeout(ctx, changeTimeout)
		var err error
		if c.remove {
			err = v.RemoveServer(ctx, c.voter.ID)
		} else {
			err = v.AddVoter(ctx, c.voter.ID, c.voter.Addr)
		}
		cancel()
		if err != nil {
			m.log.Warn("the configuration could not be changed", logx.KeyServer, c.voter.ID, logx.KeyError, err)
			return
		}
		m.log.Info("the configuration was changed", logx.KeyServer, c.voter.ID, logx.KeyAddr, c.voter.Addr, logx.KeyReason, c.why)
	}
}
