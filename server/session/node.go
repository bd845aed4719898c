package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/structs"
)

// catchUp bounds how long a server waits for itself to apply what the leader
// has committed.
const catchUp = 5 * time.Second

// nodeService is what nodes call.
type nodeService struct {
	linkpb.UnimplementedNodeLinkServer
	s *Server
}

// Register implements linkpb.NodeLinkServer.
func (n *nodeService) Register(ctx context.Context, req *linkpb.RegisterRequest) (*linkpb.RegisterReply, error) {
	node := new(structs.Node)
	if err := link.UnpackNoun(req.GetNode(), node); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	caller := link.IncomingCaller(ctx)
	if node.ID != caller.NodeID || node.SecretID != caller.SecretID {
		return nil, status.Error(codes.PermissionDenied, "the node registers another node")
	}
	reply, err := lead(ctx, n.s, call[linkpb.RegisterReply]{
		here: func(ctx context.Context) (*linkpb.RegisterReply, error) {
			index, ttl, err := n.s.cfg.Backend.RegisterNode(ctx, node)
			return &linkpb.RegisterReply{TtlNanos: int64(ttl), Index: index}, err
		},
		there: func(ctx context.Context, leader linkpb.NodeLinkClient) (*linkpb.RegisterReply, error) {
			return leader.Register(ctx, req)
		},
	})
	if err != nil {
		return nil, err
	}
	// What the node asks next must find it registered here as well.
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if _, err := n.s.cfg.Store.SnapshotAt(ctx, reply.GetIndex()); err != nil {
		return nil, status.Errorf(codes.Unavailable, "this server is behind the leader: %v", err)
	}
	reply.Servers = n.s.cfg.Cluster.ServerAddrs()
	return reply, nil
}

// Heartbeat implements linkpb.NodeLinkServer.
func (n *nodeService) Heartbeat(ctx context.Context, req *linkpb.HeartbeatRequest) (*linkpb.HeartbeatReply, error) {
	reply, err := lead(ctx, n.s, call[linkpb.HeartbeatReply]{
		here: func(ctx context.Context) (*linkpb.HeartbeatReply, error) {
			ttl, err := n.s.cfg.Backend.Heartbeat(ctx, link.IncomingCaller(ctx).NodeID)
			return &linkpb.HeartbeatReply{TtlNanos: int64(ttl)}, err
		},
		there: func(ctx context.Context, leader linkpb.NodeLinkClient) (*linkpb.HeartbeatReply, error) {
			return leader.Heartbeat(ctx, req)
		},
	})
	if err != nil {
		return nil, err
	}
	reply.Servers = n.s.cfg.Cluster.ServerAddrs()
	return reply, nil
}

// UpdateAllocs implements linkpb.NodeLinkServer.
func (n *nodeService) UpdateAllocs(ctx context.Context, req *linkpb.UpdateAllocsRequest) (*linkpb.WriteReply, error) {
	return lead(ctx, n.s, call[linkpb.WriteReply]{
		here: func(ctx context.Context) (*linkpb.WriteReply, error) {
			var updates []*structs.AllocUpdate
			if err := link.UnpackNoun(req.GetUpdates(), &updates); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
			nodeID := link.IncomingCaller(ctx).NodeID
			if err := n.ownAllocs(nodeID, updates); err != nil {
				return nil, err
			}
			_, err := n.s.cfg.Backend.UpdateAllocs(ctx, nodeID, updates)
			return new(linkpb.WriteReply), err
		},
		there: func(ctx context.Context, leader linkpb.NodeLinkClient) (*linkpb.WriteReply, error) {
			return leader.UpdateAllocs(ctx, req)
		},
	})
}

// ownAllocs refuses reports about another node's allocations.
func (n *nodeService) ownAllocs(nodeID string, updates []*structs.AllocUpdate) error {
	snap := n.s.cfg.Store.Snapshot()
	for _, u := range updates {
		if u == nil {
			return status.Error(codes.InvalidArgument, "an update is empty")
		}
		if v := snap.AllocView(u.ID); v.Valid() && v.Row().Node.ID != nodeID {
			return status.Errorf(codes.PermissionDenied, "allocation %s is not of node %s", u.ID, nodeID)
		}
	}
	return nil
}

// UpsertServices implements linkpb.NodeLinkServer.
func (n *nodeService) UpsertServices(ctx context.Context, req *linkpb.UpsertServicesRequest) (*linkpb.WriteReply, error) {
	return lead(ctx, n.s, call[linkpb.WriteReply]{
		here: func(ctx context.Context) (*linkpb.WriteReply, error) {
			var regs []*structs.ServiceRegistration
			if err := link.UnpackNoun(req.GetServices(), &regs); err != nil {
				return nil, status.Error(codes.InvalidArgument, err.Error())
			}
			nodeID := link.IncomingCaller(ctx).NodeID
			if err := n.ownServices(nodeID, regs); err != nil {
				return nil, err
			}
			if req.GetFull() {
				_, err := n.s.cfg.Backend.SyncServices(ctx, nodeID, regs)
				return new(linkpb.WriteReply), err
			}
			_, err := n.s.cfg.Backend.UpsertServices(ctx, regs)
			return new(linkpb.WriteReply), err
		},
		there: func(ctx context.Context, leader linkpb.NodeLinkClient) (*linkpb.WriteReply, error) {
			return leader.UpsertServices(ctx, req)
		},
	})
}

// ownServices refuses registrations for another node or its allocations.
func (n *nodeService) ownServices(nodeID string, regs []*structs.ServiceRegistration) error {
	snap := n.s.cfg.Store.Snapshot()
	for _, r := range regs {
		if r == nil || r.NodeID != nodeID {
			return status.Errorf(codes.PermissionDenied, "the registration is not of node %s", nodeID)
		}
		if !slices.Contains(healths, r.Health) {
			return status.Errorf(codes.InvalidArgument, "the registration %s has an unknown health", r.ID)
		}
		if a := snap.Alloc(r.AllocID); a != nil && (a.NodeID != nodeID || a.Namespace != r.Namespace) {
			return status.Errorf(codes.PermissionDenied, "allocation %s is not of node %s and namespace %s", r.AllocID, nodeID, r.Namespace)
		}
	}
	return nil
}

// DeleteServices implements linkpb.NodeLinkServer.
func (n *nodeService) DeleteServices(ctx context.Context, req *linkpb.DeleteServicesRequest) (*linkpb.WriteReply, error) {
	return lead(ctx, n.s, call[linkpb.WriteReply]{
		here: func(ctx context.Context) (*linkpb.WriteReply, error) {
			own := map[string]bool{}
			for r := range n.s.cfg.Store.Snapshot().ServicesByNode(link.IncomingCaller(ctx).NodeID) {
				own[r.ID] = r.Namespace == req.GetNamespace()
			}
			var ids []string
			for _, id := range req.GetIds() {
				if own[id] {
					ids = append(ids, id)
				}
			}
			if len(ids) == 0 {
				return new(linkpb.WriteReply), nil
			}
			_, err := n.s.cfg.Backend.DeleteServices(ctx, req.GetNamespace(), ids)
			return new(linkpb.WriteReply), err
		},
		there: func(ctx context.Context, leader linkpb.NodeLinkClient) (*linkpb.WriteReply, error) {
			return leader.DeleteServices(ctx, req)
		},
	})
}

// LookupServices implements linkpb.NodeLinkServer.
func (n *nodeService) LookupServices(_ context.Context, req *linkpb.LookupServicesRequest) (*linkpb.LookupServicesReply, error) {
	var regs []*structs.ServiceRegistration
	for r := range n.s.cfg.Store.Snapshot().ServicesByName(req.GetNamespace(), req.GetName()) {
		regs = append(regs, r)
	}
	packed, err := link.PackNoun(regs)
	return &linkpb.LookupServicesReply{Services: packed}, statusOf(err)
}

// GetJob implements linkpb.NodeLinkServer. A node reads the jobs of its own
// allocations, and those as its allocations know them.
func (n *nodeService) GetJob(ctx context.Context, req *linkpb.GetJobRequest) (*linkpb.GetJobReply, error) {
	alloc := n.s.cfg.Store.Snapshot().Alloc(req.GetAllocId())
	if alloc == nil || alloc.NodeID != link.IncomingCaller(ctx).NodeID || alloc.Job == nil {
		return nil, status.Errorf(codes.Aborted, "allocation %s is no longer of this node", req.GetAllocId())
	}
	if ref := refOf(alloc.Job); ref.GetVersion() != req.GetRef().GetVersion() || ref.GetCreateIndex() != req.GetRef().GetCreateIndex() {
		return nil, status.Errorf(codes.Aborted, "allocation %s has another version of its job by now", req.GetAllocId())
	}
	packed, err := link.PackNoun(alloc.Job)
	return &linkpb.GetJobReply{Job: packed}, statusOf(err)
}

func refOf(j *structs.Job) *linkpb.JobRef {
	return &linkpb.JobRef{Namespace: j.GetNamespace(), Id: j.GetID(), Version: j.GetVersion(), CreateIndex: j.GetCreateIndex()}
}

// call is a call that the leader answers: here if that is us, or there.
type call[T any] struct {
	here  func(ctx context.Context) (*T, error)
	there func(ctx context.Context, leader linkpb.NodeLinkClient) (*T, error)
}

// lead has a call answered by the leader. A call that was passed on once is
// not passed on again: who it came from will find the leader.
func lead[T any](ctx context.Context, s *Server, c call[T]) (*T, error) {
	if s.cfg.Cluster.IsLeader() {
		reply, err := c.here(ctx)
		if err == nil {
			return reply, nil
		}
		if !errors.Is(err, structs.ErrNotLeader) {
			return nil, statusOf(err)
		}
	}
	caller := link.IncomingCaller(ctx)
	addr, known := s.cfg.Cluster.LeaderAddr()
	if caller.Forwarded || !known || addr == s.cfg.Cluster.LocalAddr() {
		return nil, statusOf(structs.ErrNoLeader)
	}
	peer, err := s.peers.get(ctx, addr)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "reach the leader: %v", err)
	}
	caller.Forwarded = true
	return c.there(caller.Outgoing(ctx), peer.node)
}
