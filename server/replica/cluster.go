package replica

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// Server is a member of the Raft configuration.
type Server struct {
	ID, Addr string
	Voter    bool
}

// Stats describes the log.
type Stats struct {
	State                                                     string
	Term, LastIndex, CommitIndex, AppliedIndex, SnapshotIndex uint64
}

// Leadership tells each time this server becomes (true) or stops being
// (false) the leader, every change in order. It has one reader.
func (r *Replica) Leadership() <-chan bool { return r.leadership }

// IsLeader reports whether this server thinks it is the leader.
func (r *Replica) IsLeader() bool { return r.raft.State() == raft.Leader }

// Leader returns who the leader is, as far as this server knows.
func (r *Replica) Leader() (id, addr string, known bool) {
	a, i := r.raft.LeaderWithID()
	return string(i), string(a), a != ""
}

// LastContact is how long ago the leader was heard of: 0 on the leader itself,
// the longest time there is if it never was.
func (r *Replica) LastContact() time.Duration {
	if r.IsLeader() {
		return 0
	}
	last := r.raft.LastContact()
	if last.IsZero() {
		return math.MaxInt64
	}
	return r.clock.Now().Sub(last)
}

// AddVoter adds a server, or changes its address.
func (r *Replica) AddVoter(ctx context.Context, id, addr string) error {
	timeout := remaining(ctx, r.clock.Now())
	err := r.await(ctx, func() raft.Future {
		return r.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, timeout)
	})
	if err != nil {
		return fmt.Errorf("add server %s: %w", id, err)
	}
	return nil
}

// RemoveServer removes a server from the configuration.
func (r *Replica) RemoveServer(ctx context.Context, id string) error {
	timeout := remaining(ctx, r.clock.Now())
	err := r.await(ctx, func() raft.Future { return r.raft.RemoveServer(raft.ServerID(id), 0, timeout) })
	if err != nil {
		return fmt.Errorf("remove server %s: %w", id, err)
	}
	return nil
}

// Configuration returns the latest configuration, and the index of the last
// one that was committed.
func (r *Replica) Configuration() ([]Server, uint64, error) {
	future := r.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, 0, fmt.Errorf("read configuration: %w", translate(err))
	}
	var out []Server
	for _, s := range future.Configuration().Servers {
		out = append(out, Server{ID: string(s.ID), Addr: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return out, r.machine.configured.Load(), nil
}

// TransferLeadership hands leadership to another server, to the one named or,
// with an empty id, to the most up to date.
func (r *Replica) TransferLeadership(ctx context.Context, id string) error {
	if id == "" {
		return r.await(ctx, r.raft.LeadershipTransfer)
	}
	servers, _, err := r.Configuration()
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.ID == id {
			return r.await(ctx, func() raft.Future {
				return r.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(s.Addr))
			})
		}
	}
	return fmt.Errorf("no server has the id %q: `operator raft list-peers` names them", id)
}

// Snapshot takes a snapshot now. Having nothing new to save is no error.
func (r *Replica) Snapshot(ctx context.Context) error {
	err := r.await(ctx, func() raft.Future { return r.raft.Snapshot() })
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// Stats returns figures of the log.
func (r *Replica) Stats() Stats {
	snapshot := uint64(0)
	if list, err := r.snaps.List(); err == nil && len(list) > 0 {
		snapshot = list[0].Index
	}
	return Stats{
		State: r.raft.State().String(), Term: r.raft.CurrentTerm(), LastIndex: r.raft.LastIndex(),
		CommitIndex: r.raft.CommitIndex(), AppliedIndex: r.raft.AppliedIndex(), SnapshotIndex: snapshot,
	}
}
