package control

import (
	"context"
	"errors"
	"strings"

	"github.com/steppe-run/steppe/server/blocked"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// GC removes everything that is finished and unreachable, whatever its age.
func (s *Control) GC(ctx context.Context) error {
	t, err := s.leading()
	if err != nil {
		return err
	}
	return t.sweeps.sweep(ctx, true)
}

// SetSchedulerConfig replaces the scheduler's configuration.
func (s *Control) SetSchedulerConfig(ctx context.Context, req *SchedulerConfigRequest) (*structs.SchedulerSetConfigurationResponse, error) {
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
func (s *Control) UpsertNodePool(ctx context.Context, pool *structs.NodePool) (uint64, error) {
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
func (s *Control) DeleteNodePool(ctx context.Context, name string) (uint64, error) {
	if (&structs.NodePool{Name: name}).BuiltIn() {
		return 0, structs.NewError(structs.KindRefused, "node pool %q is built in and can't be deleted", name)
	}
	return s.change(ctx, &command.DeleteNodePools{Names: []string{name}})
}

// UpsertNamespace stores a namespace and returns the index.
func (s *Control) UpsertNamespace(ctx context.Context, ns *structs.Namespace) (uint64, error) {
	switch {
	case ns == nil || !validName(ns.Name):
		return 0, structs.NewError(structs.KindInvalid, "invalid namespace: a name has 1 to 128 letters, digits, - or _")
	case len(ns.Description) > 256:
		return 0, structs.NewError(structs.KindInvalid, "invalid namespace: its description has more than 256 characters")
	}
	return s.change(ctx, &command.UpsertNamespaces{Namespaces: []*structs.Namespace{ns}})
}

// DeleteNamespace removes a namespace that nothing uses.
func (s *Control) DeleteNamespace(ctx context.Context, name string) (uint64, error) {
	if name == structs.DefaultNamespace {
		return 0, structs.NewError(structs.KindRefused, "namespace %q is built in and can't be deleted", name)
	}
	return s.change(ctx, &command.DeleteNamespaces{Names: []string{name}})
}

func (s *Control) change(ctx context.Context, c command.Command) (uint64, error) {
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

// Figures are the counters and gauges of the leader's rooms, named room.thing;
// empty on other servers.
func (s *Control) Figures() map[string]int64 {
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
		"brake.held":        int64(len(t.held.All())),
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
func (s *Control) Waits() []Wait {
	if t := s.term.Load(); t != nil {
		return t.blocked.Waits()
	}
	return nil
}
