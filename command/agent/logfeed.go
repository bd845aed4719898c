package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/internal/logx"
)

// feedBuffer is how many lines a slow reader of the log may lag behind.
const feedBuffer = 512

// logFeed hands the agent's log on to those who follow it over the API. It is
// a slog.Handler in front of the agent's own.
type logFeed struct {
	next    slog.Handler
	readers *readers
	wrap    func(slog.Handler) slog.Handler // attributes and groups so far
}

// readers are those who follow now.
type readers struct {
	mu  sync.Mutex
	all []*logReader
}

// logReader is one who follows: a bounded queue of lines. What doesn't fit is
// dropped, so that a reader can't hold up the agent.
type logReader struct {
	handler slog.Handler
	lines   chan []byte
}

// Write implements io.Writer for the reader's handler.
func (r *logReader) Write(line []byte) (int, error) {
	select {
	case r.lines <- slices.Clone(line):
	default:
	}
	return len(line), nil
}

func newLogFeed(next slog.Handler) *logFeed {
	return &logFeed{next: next, readers: &readers{}, wrap: func(h slog.Handler) slog.Handler { return h }}
}

// Enabled implements slog.Handler.
func (f *logFeed) Enabled(ctx context.Context, level slog.Level) bool {
	if f.next.Enabled(ctx, level) {
		return true
	}
	for _, r := range f.readers.current() {
		if r.handler.Enabled(ctx, level) {
			return true
		}
	}
	return false
}

// Handle implements slog.Handler.
func (f *logFeed) Handle(ctx context.Context, record slog.Record) error {
	for _, r := range f.readers.current() {
		if r.handler.Enabled(ctx, record.Level) {
			_ = f.wrap(r.handler).Handle(ctx, record.Clone()) // a reader's trouble is not the agent's
		}
	}
	if !f.next.Enabled(ctx, record.Level) {
		return nil
	}
	return f.next.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (f *logFeed) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (f *logFeed) WithGroup(name string) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (f *logFeed) with(step func(slog.Handler) slog.Handler) *logFeed {
	before := f.wrap
	return &logFeed{next: step(f.next), readers: f.readers, wrap: func(h slog.Handler) slog.Handler { return step(before(h)) }}
}

func (r *readers) current() []*logReader {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

func (r *readers) add(one *logReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(slices.Clone(r.all), one)
}

func (r *readers) remove(one *logReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(slices.Clone(r.all), func(o *logReader) bool { return o == one })
}

// Follow implements backend.Logs.
func (f *logFeed) Follow(ctx context.Context, opts backend.LogOptions, line func([]byte) error) error {
	level, err := logx.ParseLevel(opts.Level)
	if err != nil {
		return err
	}
	reader := &logReader{lines: make(chan []byte, feedBuffer)}
	reader.handler = logx.New(reader, level, opts.JSON).Handler()
	f.readers.add(reader)
	defer f.readers.remove(reader)
	for {
		select {
		case <-ctx.Done():
			return nil
		case text := <-reader.lines:
			if err := line(text); err != nil {
				return err
			}
		}
	}
}
