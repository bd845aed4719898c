package link

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a node's calls fail with that it must tell apart.
var (
	// ErrNodeUnknown means that the servers don't know this node (any more):
	// register.
	ErrNodeUnknown = errors.New("the servers don't know this node")
	// ErrRefused means that trying again is of no use.
	ErrRefused = errors.New("the servers refuse")
)

// translate turns the status of a failed call into an error for callers.
func translate(what string, err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch s.Code() {
	case codes.NotFound:
		return fmt.Errorf("%s: %w (%s)", what, ErrNodeUnknown, s.Message())
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented:
		return fmt.Errorf("%s: %w: %s", what, ErrRefused, s.Message())
	}
	return fmt.Errorf("%s: %s", what, s.Message())
}

// passing reports whether a call may succeed when made again, perhaps with
// another server.
func passing(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.ResourceExhausted, codes.Internal, codes.Unknown:
		return true
	}
	return false
}
