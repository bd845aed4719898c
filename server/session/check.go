package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/structs"
)

// check admits a call or says why not. Servers may call PeerLink; a node's
// calls carry its id and secret, which must be those it registered with.
func (s *Server) check(ctx context.Context, method string) error {
	h := holdingOf(ctx)
	if h == nil {
		return status.Error(codes.Unauthenticated, "the call came over no session")
	}
	if strings.HasPrefix(method, "/"+linkpb.PeerLink_ServiceDesc.ServiceName+"/") {
		if h.peer.Role() != certs.RoleServer {
			return status.Error(codes.PermissionDenied, "only servers may call this")
		}
		return nil
	}
	caller := link.IncomingCaller(ctx)
	if caller.Forwarded && h.peer.Role() != certs.RoleServer {
		return status.Error(codes.PermissionDenied, "only servers pass calls on")
	}
	if err := s.knows(caller, method == linkpb.NodeLink_Register_FullMethodName); err != nil {
		return err
	}
	if !caller.Forwarded {
		s.held.bind(h, caller.NodeID)
	}
	return nil
}

// knows compares the caller's secret with the registered one. A new node has
// none yet, and a follower may not have heard of it.
func (s *Server) knows(c link.Caller, registers bool) error {
	if c.NodeID == "" || c.SecretID == "" {
		return status.Error(codes.Unauthenticated, "the call names no node")
	}
	node := s.cfg.Store.Snapshot().Node(c.NodeID)
	if node == nil {
		if registers {
			return nil
		}
		return status.Errorf(codes.NotFound, "node %s is not registered", c.NodeID)
	}
	if subtle.ConstantTimeCompare([]byte(node.SecretID), []byte(c.SecretID)) != 1 {
		return status.Errorf(codes.PermissionDenied, "the secret is not the one that node %s registered with", c.NodeID)
	}
	return nil
}

func (s *Server) checkUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.check(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (s *Server) checkStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.check(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, ss)
}

// statusOf turns an error of the backend into one that the other end can tell
// apart.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codeOf(err), err.Error())
}

func codeOf(err error) codes.Code {
	var known *structs.Error
	var invalid *structs.ValidationError
	switch {
	case errors.As(err, &invalid):
		return codes.InvalidArgument
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case !errors.As(err, &known):
		return codes.Unavailable // trouble of ours: another try may do
	}
	switch known.Kind {
	case structs.KindInvalid:
		return codes.InvalidArgument
	case structs.KindNotFound:
		return codes.NotFound
	case structs.KindForbidden:
		return codes.PermissionDenied
	case structs.KindNotBuilt:
		return codes.Unimplemented
	case structs.KindRefused:
		return codes.FailedPrecondition
	}
	return codes.Unavailable
}
