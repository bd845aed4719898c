package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// frameHeartbeat is how often a silent stream of frames shows that it lives.
const frameHeartbeat = time.Second

// stream is an answer that goes on. What is written is sent at once.
type stream struct {
	call *call
	mu   sync.Mutex
	ctl  *http.ResponseController
}

// newStream begins the answer.
func newStream(c *call, contentType string) *stream {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	s := &stream{call: c, ctl: http.NewResponseController(c.w)}
	c.w.WriteHeader(http.StatusOK)
	_ = s.ctl.Flush() // the first write will tell
	return s
}

func (s *stream) write(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.call.w.Write(p); err != nil {
		return err
	}
	return s.ctl.Flush()
}

// stopper lets the parts of a stream end together.
type stopper struct{ ctx context.Context }

// run runs a stream's parts side by side. When one ends the others are asked
// to end too; a stream never fails, it stops.
func (s *stream) run(parts ...func(stopper) error) error {
	ctx, cancel := context.WithCancel(s.call.ctx())
	defer cancel()
	g := loop.New(ctx)
	for _, part := range parts {
		g.Go("stream", func(ctx context.Context) error {
			defer g.Stop()
			return part(stopper{ctx})
		})
	}
	if err := g.Wait(); err != nil && s.call.ctx().Err() == nil {
		s.call.api.log.Debug("stream ended", "request", s.call.id, logx.KeyError, err)
	}
	return nil
}

// agentMonitor streams the agent's own log.
func agentMonitor(c *call) (reply, error) {
	if c.api.cfg.Logs == nil {
		return reply{}, refuse(http.StatusNotImplemented, "this agent keeps no log to follow")
	}
	for _, other := range []string{"node_id", "server_id"} {
		if c.query.Get(other) != "" {
			return reply{}, refuse(http.StatusNotImplemented, "%v", structs.NotBuilt("monitors of other agents"))
		}
	}
	opts := LogOptions{Level: c.query.Get("log_level")}
	if _, err := logx.ParseLevel(opts.Level); err != nil {
		return reply{}, refuse(http.StatusBadRequest, "Unknown log level: %s", opts.Level)
	}
	var err error
	if opts.JSON, err = c.flag("log_json"); err != nil {
		return reply{}, err
	}
	plain, err := c.flag("plain")
	if err != nil {
		return reply{}, err
	}
	kind := "application/json"
	if plain {
		kind = "text/plain; charset=utf-8"
	}
	out := newStream(c, kind)
	return reply{sent: true}, out.run(
		func(stop stopper) error {
			return c.api.cfg.Logs.Follow(stop.ctx, opts, func(line []byte) error {
				if plain {
					return out.write(line)
				}
				frame, err := json.Marshal(structs.StreamFrame{Data: line})
				if err != nil {
					return err
				}
				return out.write(frame)
			})
		},
		func(stop stopper) error { return out.beat(stop, !plain) },
	)
}

// beat writes an empty frame now and then, so that both sides notice when the
// other is gone; and ends the stream when the listener stops.
func (s *stream) beat(stop stopper, frames bool) error {
	for {
		t := s.call.api.clock.NewTimer(frameHeartbeat)
		select {
		case <-stop.ctx.Done():
			t.Stop()
			return stop.ctx.Err()
		case <-s.call.draining():
			t.Stop()
			return nil
		case <-t.C():
		}
		if !frames {
			continue
		}
		if err := s.write([]byte("{}")); err != nil {
			return err
		}
	}
}
