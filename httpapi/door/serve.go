package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
)

// limits bound what a connection may take.
type limits struct {
	readHeader, idle, drain time.Duration
	headerBytes             int
}

var defaultLimits = limits{readHeader: 10 * time.Second, idle: 2 * time.Minute, drain: 3 * time.Second, headerBytes: 64 << 10}

// Serve answers requests on a listener until ctx ends; it returns when the
// last request has ended. Requests that wait for something end with ctx, the
// others get a few seconds.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	return defaultLimits.serve(ctx, l, h)
}

func (m limits) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	requests, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), drainKey{}, ctx.Done()))
	defer cancel()
	srv := &http.Server{
		Handler:           refuseTooMany(h),
		ConnContext:       markTooMany,
		ReadHeaderTimeout: m.readHeader,
		IdleTimeout:       m.idle,
		MaxHeaderBytes:    m.headerBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // clients' broken connections
	}
	g := loop.New(ctx)
	g.Go("serve http", func(context.Context) error {
		err := srv.Serve(l)
		if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil {
			return nil
		}
		return err
	})
	g.Go("stop http", func(ctx context.Context) error {
		<-ctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), m.drain)
		defer done()
		if srv.Shutdown(grace) == nil {
			return nil
		}
		cancel()
		return srv.Close()
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// drainKey finds, in a request's context, the channel that is closed when the
// listener is about to stop.
type drainKey struct{}

// Draining is closed when requests that only wait should come to an end. It is
// nil, and so never ready, for a request that Serve didn't accept.
func (c *Call) Draining() <-chan struct{} {
	done, _ := c.Ctx().Value(drainKey{}).(<-chan struct{})
	return done
}
