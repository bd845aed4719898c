package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/server/account"
	"github.com/steppe-run/steppe/server/blocked"
	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/server/replica"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// GC removes everything that is finished and unreachable, whatever its age.
func (s *Server) GC(ctx context.Context) error {
	t, err := s.leading()
	if err != nil {
		return err
	}
	return t.sweeps.sweep(ctx, true)
}

// ReconcileSummaries makes job summaries right. They are derived from the
// allocations in every command, so there is nothing to repair; what is checked
// is that this server leads.
func (s *Server) ReconcileSummaries(ctx context.Context) error { return s.ConsistentIndex(ctx) }

// SetSchedulerConfig replaces the scheduler's configuration.
func (s *Server) SetSchedulerConfig(ctx context.Context, req *SchedulerConfigRequest) (*structs.SchedulerSetConfigurationResponse, error) {
	if req.Config == nil {
		return nil, structs.NewError(structs.KindInvalid, "the request holds no scheduler configuration")
	}
	cfg := *req.Config
	switch cfg.SchedulerAlgorithm {
	case "":
		cfg.SchedulerAlgorithm = structs.SchedulerBinPack
	case structs.SchedulerBinPack, structs.SchedulerSpread:
	default:
		return nil, structs.NewError(structs.KindInvalid, "scheduler algorithm %q is unknown: use %s or %s",
			cfg.SchedulerAlgorithm, structs.SchedulerBinPack, structs.SchedulerSpread)
	}
	t, err := s.leading()
	if err != nil {
		return nil, err
	}
	resp := &structs.SchedulerSetConfigurationResponse{}
	old := s.store.Snapshot().SchedulerConfig()
	if req.CAS && old.ModifyIndex != req.CASIndex {
		return resp, nil
	}
	result, err := s.propose(ctx, &command.SetSchedulerConfig{Config: &cfg, CAS: req.CAS, CASIndex: req.CASIndex})
	var conflict *state.ConflictError
	if errors.As(err, &conflict) {
		return resp, nil
	}
	if err != nil {
		return nil, err
	}
	resp.Updated, resp.LastIndex = true, indexOf(result)
	t.reconfigured(old, &cfg, resp.LastIndex)
	return resp, nil
}

// UpsertNodePool stores a node pool and returns the index.
func (s *Server) UpsertNodePool(ctx context.Context, pool *structs.NodePool) (uint64, error) {
	if pool == nil {
		return 0, structs.NewError(structs.KindInvalid, "invalid node pool: there is none")
	}
	next := *pool
	next.Canonicalize()
	if err := next.Validate(); err != nil {
		return 0, structs.NewError(structs.KindInvalid, "invalid node pool: %v", err)
	}
	return s.change(ctx, &command.UpsertNodePools{Pools: []*structs.NodePool{&next}})
}

// DeleteNodePool removes a node pool that nothing uses.
func (s *Server) DeleteNodePool(ctx context.Context, name string) (uint64, error) {
	if (&structs.NodePool{Name: name}).BuiltIn() {
		return 0, structs.NewError(structs.KindRefused, "node pool %q is built in and can't be deleted", name)
	}
	return s.change(ctx, &command.DeleteNodePools{Names: []string{name}})
}

// UpsertNamespace stores a namespace and returns the index.
func (s *Server) UpsertNamespace(ctx context.Context, ns *structs.Namespace) (uint64, error) {
	switch {
	case ns == nil || !validName(ns.Name):
		return 0, structs.NewError(structs.KindInvalid, "invalid namespace: a name has 1 to 128 letters, digits, - or _")
	case len(ns.Description) > 256:
		return 0, structs.NewError(structs.KindInvalid, "invalid namespace: its description has more than 256 characters")
	}
	return s.change(ctx, &command.UpsertNamespaces{Namespaces: []*structs.Namespace{ns}})
}

// DeleteNamespace removes a namespace that nothing uses.
func (s *Server) DeleteNamespace(ctx context.Context, name string) (uint64, error) {
	if name == structs.DefaultNamespace {
		return 0, structs.NewError(structs.KindRefused, "namespace %q is built in and can't be deleted", name)
	}
	return s.change(ctx, &command.DeleteNamespaces{Names: []string{name}})
}

func (s *Server) change(ctx context.Context, c command.Command) (uint64, error) {
	result, err := s.propose(ctx, c)
	if err != nil {
		return 0, err
	}
	return indexOf(result), nil
}

func validName(name string) bool {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(r rune) bool { return !ok(r) })
}

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
	if _, err := s.leading(); err != nil {
		return err
	}
	if _, err := s.peer(func(p replica.Server) bool { return p.ID == id }); err != nil {
		return err
	}
	return s.replica.RemoveServer(ctx, id)
}

// TransferLeadership hands leadership to the member with the id or address.
func (s *Server) TransferLeadership(ctx context.Context, id, address string) error {
	if _, err := s.leading(); err != nil {
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

// Figures are the counters and gauges of the leader's rooms, named room.thing;
// empty on other servers.
func (s *Server) Figures() map[string]int64 {
	t := s.term.Load()
	if t == nil {
		return map[string]int64{}
	}
	b := t.broker.Stats()
	out := map[string]int64{
		"broker.ready":      int64(b.Ready),
		"broker.waiting":    int64(b.Waiting),
		"broker.delayed":    int64(b.Delayed),
		"broker.running":    int64(b.Running),
		"broker.superseded": int64(b.Superseded),
		"broker.failed":     int64(b.Dead),
		"blocked.evals":     int64(t.blocked.Len()),
		"heartbeat.nodes":   int64(t.heartbeats.Len()),
	}
	for k, v := range t.placer.Stats() {
		out["placer."+k] = v
	}
	return out
}

// Wait is what one blocked evaluation waits for.
type Wait = blocked.Wait

// Waits lists what the blocked evaluations wait for; nothing on other servers
// than the leader.
func (s *Server) Waits() []Wait {
	if t := s.term.Load(); t != nil {
		return t.blocked.Waits()
	}
	return nil
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
