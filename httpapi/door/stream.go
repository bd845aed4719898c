package door

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

// frameHeartbeat is how often a silent stream of frames shows that it lives.
const frameHeartbeat = time.Second

// Stream is an answer that goes on. What is written is sent at once.
type Stream struct {
	call *Call
	mu   sync.Mutex
	ctl  *http.ResponseController
}

// NewStream begins the answer.
func NewStream(c *Call, contentType string) *Stream {
	h := c.Writer.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	s := &Stream{call: c, ctl: http.NewResponseController(c.Writer)}
	c.Writer.WriteHeader(http.StatusOK)
	_ = s.ctl.Flush() // the first write will tell
	return s
}

func (s *Stream) Write(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.call.Writer.Write(p); err != nil {
		return err
	}
	return s.ctl.Flush()
}

// Stopper lets the parts of a stream end together.
type Stopper struct{ Ctx context.Context }

// Run runs a stream's parts side by side. When one ends the others are asked
// to end too; a stream never fails, it stops.
func (s *Stream) Run(parts ...func(Stopper) error) error {
	ctx, cancel := context.WithCancel(s.call.Ctx())
	defer cancel()
	g := loop.New(ctx)
	for _, part := range parts {
		g.Go("stream", func(ctx context.Context) error {
			defer g.Stop()
			return part(Stopper{ctx})
		})
	}
	if err := g.Wait(); err != nil && s.call.Ctx().Err() == nil {
		s.call.api.log.Debug("stream ended", "request", s.call.id, logx.KeyError, err)
	}
	return nil
}

// Beat writes an empty frame now and then, so that both sides notice when the
// other is gone; and ends the stream when the listener stops.
func (s *Stream) Beat(stop Stopper, frames bool) error {
	for {
		t := s.call.api.clock.NewTimer(frameHeartbeat)
		select {
		case <-stop.Ctx.Done():
			t.Stop()
			return stop.Ctx.Err()
		case <-s.call.Draining():
			t.Stop()
			return nil
		case <-t.C():
		}
		if !frames {
			continue
		}
		if err := s.Write([]byte("{}")); err != nil {
			return err
		}
	}
}
