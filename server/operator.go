package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/server/account"
	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/structs"
)

// ReconcileSummaries makes job summaries right. They are derived from the
// allocations in every command, so there is nothing to repair; what is checked
// is that this server leads.
func (s *Server) ReconcileSummaries(ctx context.Context) error { return s.ConsistentIndex(ctx) }

// Members lists the servers that gossip knows, of every region.
func (s *Server) Members() []*structs.AgentMember {
	list := s.members.List()
	out := make([]*structs.AgentMember, 0, len(list))
	for _, m := range list {
		out = append(out, agentMember(m))
	}
	return out
}

// LocalMember is this server as gossip knows it.
func (s *Server) LocalMember() *structs.AgentMember { return agentMember(s.members.Local()) }

func agentMember(m members.Member) *structs.AgentMember {
	return &structs.AgentMember{
		Name: m.Name, Addr: m.Addr, Port: uint16(m.Port), Tags: m.Tags, Status: m.Status,
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
}

// Join meets the servers at addrs and returns how many answered.
func (s *Server) Join(addrs []string) (int, error) { return s.members.Join(addrs) }

// ForceLeave declares a failed member gone; prune forgets it altogether.
func (s *Server) ForceLeave(name string, prune bool) error { return s.members.ForceLeave(name, prune) }

// Regions lists the known regions, sorted.
func (s *Server) Regions() []string {
	out := []string{s.cfg.Region}
	for _, m := range s.members.List() {
		if !slices.Contains(out, m.Region) {
			out = append(out, m.Region)
		}
	}
	slices.Sort(out)
	return out
}

// Peers lists the link addresses of the Raft members.
func (s *Server) Peers() ([]string, error) {
	servers, _, err := s.replica.Configuration()
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(servers))
	for _, p := range servers {
		out = append(out, p.Addr)
	}
	slices.Sort(out)
	return out, nil
}

// RaftConfiguration describes the Raft members.
func (s *Server) RaftConfiguration() (*structs.RaftConfiguration, error) {
	servers, index, err := s.replica.Configuration()
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, m := range s.members.List() {
		names[m.ID] = m.Name
	}
	leader, _, _ := s.replica.Leader()
	out := &structs.RaftConfiguration{Index: index}
	for _, p := range servers {
		out.Servers = append(out.Servers, &structs.RaftServer{
			ID: p.ID, Node: names[p.ID], Address: p.Addr, Leader: p.ID == leader, Voter: p.Voter, RaftProtocol: "3",
		})
	}
	return out, nil
}

// RemoveRaftPeer removes a member by its id.
func (s *Server) RemoveRaftPeer(ctx context.Context, id string) error {
	if err := s.Ready(); err != nil {
		return err
	}
	if _, err := s.peer(func(p replica.Server) bool { return p.ID == id }); err != nil {
		return err
	}
	return s.replica.RemoveServer(ctx, id)
}

// TransferLeadership hands leadership to the member with the id or address.
func (s *Server) TransferLeadership(ctx context.Context, id, address string) error {
	if err := s.Ready(); err != nil {
		return err
	}
	p, err := s.peer(func(p replica.Server) bool { return id != "" && p.ID == id || address != "" && p.Addr == address })
	if err != nil {
		return err
	}
	return s.replica.TransferLeadership(ctx, p.ID)
}

func (s *Server) peer(is func(replica.Server) bool) (replica.Server, error) {
	servers, _, err := s.replica.Configuration()
	if err != nil {
		return replica.Server{}, err
	}
	i := slices.IndexFunc(servers, is)
	if i < 0 {
		return replica.Server{}, structs.NewError(structs.KindInvalid, "no such member in the Raft configuration")
	}
	return servers[i], nil
}

// Stats are figures for people, by room.
func (s *Server) Stats() map[string]map[string]string {
	r := s.replica.Stats()
	out := map[string]map[string]string{
		"raft": {
			"state":               r.State,
			"term":                fmt.Sprint(r.Term),
			"last_log_index":      fmt.Sprint(r.LastIndex),
			"commit_index":        fmt.Sprint(r.CommitIndex),
			"applied_index":       fmt.Sprint(r.AppliedIndex),
			"last_snapshot_index": fmt.Sprint(r.SnapshotIndex),
		},
		"nomad": {
			"server":        "true",
			"leader":        fmt.Sprint(s.IsLeader()),
			"known_regions": fmt.Sprint(len(s.Regions())),
		},
	}
	if addr, known := s.Leader(); known {
		out["nomad"]["leader_addr"] = addr
	}
	for name, value := range s.Figures() {
		room, key, _ := strings.Cut(name, ".")
		if out[room] == nil {
			out[room] = map[string]string{}
		}
		out[room][key] = fmt.Sprint(value)
	}
	return out
}

// Account says what this server takes: its own accounting, not a guess from
// outside. With collect it collects garbage first, so that the heap counts only
// what is in use.
func (s *Server) Account(collect bool) (*structs.ServerFigures, error) {
	process, err := account.Process(collect)
	if err != nil {
		return nil, fmt.Errorf("measure this process: %w", err)
	}
	return &structs.ServerFigures{
		Process: process, Log: s.fsm.counts.Figures(), Allocations: s.store.Snapshot().AllocCount(), Rooms: s.Figures(),
	}, nil
}
