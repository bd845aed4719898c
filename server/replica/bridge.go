package replica

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
)

// bridge lets the library log into ours, each level less the steps given. It
// speaks louder than its users need: what it calls information is detail, a
// lost election is no warning, and a connection that ends is no error.
func bridge(log *slog.Logger, steps int) hclog.Logger {
	quiet := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Off, Output: io.Discard})
	quiet.RegisterSink(sink{log.With(logx.KeyRoom, "raft"), steps})
	return quiet
}

type sink struct {
	log   *slog.Logger
	steps int
}

// Accept implements hclog.SinkAdapter.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	ctx := context.Background()
	at := levelOf(level - hclog.Level(s.steps))
	if !s.log.Enabled(ctx, at) {
		return
	}
	record := slog.NewRecord(clock.Real{}.Now(), at, msg, 0)
	for i := 0; i+1 < len(args); i += 2 {
		record.Add(fmt.Sprint(args[i]), said(args[i+1]))
	}
	_ = s.log.Handler().Handle(ctx, record) // a log that can't be written has nowhere to complain
}

// said is an argument as text would show it.
func said(v any) any {
	if f, ok := v.(hclog.Format); ok && len(f) > 0 {
		return fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
	}
	return v
}

func levelOf(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	case hclog.Debug:
		return slog.LevelDebug
	}
	return logx.LevelTrace
}
