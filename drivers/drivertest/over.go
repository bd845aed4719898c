package drivertest

import "context"

// OverOnce returns a context that is over as soon as something is so, and tells those
// only who ask: what waits for its Done waits on.
func OverOnce(ctx context.Context, so func() bool) context.Context { return &over{ctx, so} }

type over struct {
	context.Context
	so func() bool
}

func (c *over) Err() error {
	if c.so() {
		return context.Canceled
	}
	return nil
}
