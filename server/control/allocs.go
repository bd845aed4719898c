package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/server/evals"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/alloc"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// StopAlloc stops an allocation; the scheduler replaces it.
func (s *Control) StopAlloc(ctx context.Context, req *AllocStopRequest) (*structs.AllocStopResponse, error) {
	snap := s.store.Snapshot()
	a := snap.Alloc(req.AllocID)
	if a == nil {
		return nil, structs.NewError(structs.KindNotFound, "allocation not found")
	}
	now := s.cfg.Clock.Now()
	job := snap.Job(a.Namespace, a.JobID)
	if job == nil {
		job = a.Job
	}
	eval := s.evals.New(job, structs.TriggerAllocStop, now)
	yes, no := true, false
	transition := structs.DesiredTransition{Migrate: &yes}
	if req.Reschedule {
		transition = structs.DesiredTransition{Reschedule: &yes, ForceReschedule: &yes, Migrate: &yes}
	}
	if a.DesiredTransition.Lasts() {
		transition.AfterReplacement = &no
	}
	if req.NoShutdownDelay {
		transition.NoShutdownDelay = &yes
	}
	result, err := s.propose(ctx, &command.TransitionAllocs{
		Transitions: []command.AllocTransition{{AllocID: a.ID, Transition: transition}},
		Evals:       []*structs.Evaluation{eval},
		Now:         now.UnixNano(),
	})
	if err != nil {
		return nil, err
	}
	return &structs.AllocStopResponse{EvalID: eval.ID, WriteMeta: structs.WriteMeta{LastIndex: indexOf(result)}}, nil
}

// UpdateAllocs takes what a node reports about its allocations. It returns the
// index once the report is stored. Whoever reports is heard: were the node out of
// sight still, what it reports would be taken for unknown again at once, and be
// reported again.
func (s *Control) UpdateAllocs(ctx context.Context, nodeID string, updates []*structs.AllocUpdate) (uint64, error) {
	t, err := s.leading()
	if err != nil {
		return 0, err
	}
	if n := s.store.Snapshot().Node(nodeID); n != nil && n.Status == structs.NodeStatusDisconnected {
		if _, err := s.Heartbeat(ctx, nodeID); err != nil {
			return 0, fmt.Errorf("take node %s back: %w", nodeID, err)
		}
	}
	snap := s.store.Snapshot()
	own := make([]*structs.AllocUpdate, 0, len(updates))
	for _, u := range updates {
		v := snap.AllocView(u.ID)
		if !v.Valid() {
			continue // removed meanwhile: there is nothing to tell any more
		}
		if v.Row().Node.ID != nodeID {
			s.log.Warn("a node reports about an allocation of another node; the report is dropped",
				logx.KeyNode, nodeID, logx.KeyAlloc, u.ID)
			continue
		}
		own = append(own, u)
	}
	if len(own) == 0 {
		return snap.Index(), nil
	}
	return t.intake.Submit(ctx, own)
}

// commitUpdates stores a batch of reports with the evaluations they call for.
func (s *Control) commitUpdates(ctx context.Context, updates []*structs.AllocUpdate) (uint64, error) {
	now := s.cfg.Clock.Now()
	snap := s.store.Snapshot()
	c := &command.UpdateAllocs{Now: now.UnixNano()}
	wanted := map[structs.NamespacedID]*structs.Evaluation{}
	for _, u := range updates {
		v := snap.AllocView(u.ID)
		if !v.Valid() {
			continue
		}
		if u.ClientStatus == structs.AllocClientRunning && v.Row().Client == alloc.Pending {
			c.Updates = append(c.Updates, u) // nothing follows from it
			continue
		}
		a := v.Allocation()
		c.Updates = append(c.Updates, judged(snap, a, u, now))
		if trigger := consequence(snap, a, u); trigger != "" && wanted[a.JobNamespacedID()] == nil {
			e := s.evals.New(snap.Job(a.Namespace, a.JobID), trigger, now)
			e.NodeID = a.NodeID
			wanted[a.JobNamespacedID()] = e
		}
	}
	c.Evals = evals.Sorted(wanted)
	result, err := s.propose(ctx, c)
	if err != nil {
		return 0, err
	}
	return indexOf(result), nil
}

// judged marks an allocation that failed before its health was known as
// unhealthy: its deployment must not wait for more.
func judged(snap *state.Snapshot, a *structs.Allocation, u *structs.AllocUpdate, now time.Time) *structs.AllocUpdate {
	if u.ClientStatus != structs.AllocClientFailed || a.DeploymentID == "" ||
		a.DeploymentStatus.HasHealth() || u.DeploymentStatus.HasHealth() {
		return u
	}
	if d := snap.Deployment(a.DeploymentID); !d.Active() {
		return u
	}
	no := false
	out := *u
	out.DeploymentStatus = &structs.AllocDeploymentStatus{
		Healthy: &no, Timestamp: now, Canary: a.DeploymentStatus.IsCanary(),
	}
	return &out
}

// consequence says why a report calls for an evaluation of the job, "" if it
// doesn't.
func consequence(snap *state.Snapshot, a *structs.Allocation, u *structs.AllocUpdate) string {
	job := snap.Job(a.Namespace, a.JobID)
	if job.Stopped() || u.ClientStatus == "" || u.ClientStatus == a.ClientStatus {
		return ""
	}
	wanted := a.DesiredStatus == structs.AllocDesiredRun
	switch {
	case a.ClientStatus == structs.AllocClientUnknown:
		return structs.TriggerReconnect
	case !wanted:
		return ""
	case structs.EveryNode(job.GetType()):
		return "" // its restarts are used up, and it has no other node
	case u.ClientStatus == structs.AllocClientFailed:
		return structs.TriggerAllocFailure
	case u.ClientStatus == structs.AllocClientComplete && job.GetType() == structs.JobTypeService:
		return structs.TriggerAllocFailure
	}
	return ""
}

// UpsertServices stores service registrations of a node's allocations.
func (s *Control) UpsertServices(ctx context.Context, services []*structs.ServiceRegistration) (uint64, error) {
	result, err := s.propose(ctx, &command.UpsertServices{Services: services})
	if err != nil {
		return 0, err
	}
	return indexOf(result), nil
}

// SyncServices makes registrations all there are of a node: what differs is
// written, what else there is of it is removed. It writes nothing if the two
// agree.
func (s *Control) SyncServices(ctx context.Context, nodeID string, services []*structs.ServiceRegistration) (uint64, error) {
	snap := s.store.Snapshot()
	wanted := make(map[string]bool, len(services))
	var upserts []*structs.ServiceRegistration
	for _, r := range services {
		wanted[r.Namespace+"/"+r.ID] = true
		if !r.Same(snap.Service(r.Namespace, r.ID)) {
			upserts = append(upserts, r)
		}
	}
	gone := map[string][]string{}
	for r := range snap.ServicesByNode(nodeID) {
		if !wanted[r.Namespace+"/"+r.ID] {
			gone[r.Namespace] = append(gone[r.Namespace], r.ID)
		}
	}
	index := snap.Index()
	for _, namespace := range slices.Sorted(maps.Keys(gone)) {
		var err error
		if index, err = s.DeleteServices(ctx, namespace, gone[namespace]); err != nil {
			return 0, err
		}
	}
	if len(upserts) == 0 {
		return index, nil
	}
	return s.UpsertServices(ctx, upserts)
}

// DeleteServices removes service registrations.
func (s *Control) DeleteServices(ctx context.Context, namespace string, ids []string) (uint64, error) {
	result, err := s.propose(ctx, &command.DeleteServices{Namespace: namespace, IDs: ids})
	if err != nil {
		return 0, err
	}
	return indexOf(result), nil
}

// DeleteServiceRegistration removes one registration by hand.
func (s *Control) DeleteServiceRegistration(ctx context.Context, namespace, name, id string) (uint64, error) {
	reg := s.store.Snapshot().Service(namespace, id)
	if reg == nil || reg.ServiceName != name {
		return 0, structs.ErrServiceNotFound
	}
	return s.DeleteServices(ctx, namespace, []string{id})
}
