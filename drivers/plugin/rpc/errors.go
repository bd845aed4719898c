package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/plugin/wire/shared"
	"github.com/steppe-run/steppe/internal/clock"
)

// toStatus turns a driver's error into what crosses the wire. Whether trying
// again may help travels as the status' first detail.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	var recoverable *drivers.RecoverableError
	switch {
	case errors.As(err, &recoverable):
		st := status.New(codes.FailedPrecondition, err.Error())
		detailed, detailErr := st.WithDetails(&shared.RecoverableError{Recoverable: recoverable.Recoverable})
		if detailErr != nil {
			return st.Err()
		}
		return detailed.Err()
	case errors.Is(err, drivers.ErrUnsupported):
		return status.Error(codes.Unimplemented, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	return status.Error(codes.Unknown, err.Error())
}

// remoteError is a driver's error as it arrived: its text, and what it is.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

// clockGap is how far the other side may be ahead in noticing a deadline.
const clockGap = 100 * time.Millisecond

// ending returns why ctx has ended or is about to: the other side watches the
// same deadline and may be the first to see it pass.
func ending(ctx context.Context) error {
	if _, limited := ctx.Deadline(); !limited {
		return ctx.Err()
	}
	timer := clock.Real{}.NewTimer(clockGap)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
	return ctx.Err()
}

// fromStatus turns what came over the wire into the contract's errors.
func fromStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	if st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded {
		if err := ending(ctx); err != nil {
			return err
		}
	}
	if details := st.Details(); len(details) > 0 {
		if r, ok := details[0].(*shared.RecoverableError); ok {
			return &drivers.RecoverableError{Err: errors.New(st.Message()), Recoverable: r.GetRecoverable()}
		}
	}
	switch st.Code() {
	case codes.Unavailable, codes.Canceled:
		return fmt.Errorf("%w: %s", drivers.ErrPluginGone, st.Message())
	case codes.Unimplemented:
		return &remoteError{text: st.Message(), is: drivers.ErrUnsupported}
	}
	// The protocol tells an unknown task by this text only.
	if strings.Contains(st.Message(), drivers.ErrTaskNotFound.Error()) {
		return &remoteError{text: st.Message(), is: drivers.ErrTaskNotFound}
	}
	return errors.New(st.Message())
}
