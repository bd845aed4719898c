package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sort"
	"strings"
	"sync"

	"github.com/steppe-run/steppe/internal/logx"
)

// The keys of a plugin's log records, as hosts expect them on its stderr.
const (
	wireLevel   = "@level"
	wireMessage = "@message"
	wireTime    = "@timestamp"
	wireModule  = "@module"
)

// Logger returns a logger whose records the host understands, for the
// subprocess' side: one JSON object a line. Everything is sent; the host
// decides what to keep.
func Logger(w io.Writer, module string) *slog.Logger {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: logx.LevelTrace,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.LevelKey:
				level, _ := a.Value.Any().(slog.Level)
				return slog.String(wireLevel, levelWord(level))
			case slog.MessageKey:
				a.Key = wireMessage
			case slog.TimeKey:
				return slog.String(wireTime, a.Value.Time().Format("2006-01-02T15:04:05.000000Z07:00"))
			}
			return a
		},
	})
	return slog.New(handler).With(wireModule, module)
}

func levelWord(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

// logLines is the host's end of a plugin's stderr: it logs records at their
// level and other text as it is.
type logLines struct {
	logger *slog.Logger
	mu     sync.Mutex
	buf    []byte
}

// maxLogLine bounds what is kept of a line without an end.
const maxLogLine = 64 << 10

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	for {
		end := bytes.IndexByte(l.buf, '\n')
		if end < 0 {
			break
		}
		l.line(l.buf[:end])
		l.buf = l.buf[end+1:]
	}
	if len(l.buf) > maxLogLine {
		l.line(l.buf)
		l.buf = nil
	}
	return len(p), nil
}

func (l *logLines) line(line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil || record[wireMessage] == nil {
		l.logger.Log(context.Background(), textLevel(string(line)), "driver plugin printed", "text", string(line))
		return
	}
	message, _ := record[wireMessage].(string)
	word, _ := record[wireLevel].(string)
	level, err := logx.ParseLevel(word)
	if err != nil {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.String("text", message)}
	for key, value := range record {
		if !strings.HasPrefix(key, "@") && key != "timestamp" {
			attrs = append(attrs, slog.Any(key, value))
		}
	}
	sort.Slice(attrs[1:], func(i, j int) bool { return attrs[1+i].Key < attrs[1+j].Key })
	l.logger.LogAttrs(context.Background(), level, "driver plugin logged", attrs...)
}

// textLevel guesses a level from how plain lines usually begin. A panic's
// trace must be seen.
func textLevel(line string) slog.Level {
	switch {
	case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "), strings.HasPrefix(line, "[ERROR]"):
		return slog.LevelError
	case strings.HasPrefix(line, "[WARN]"):
		return slog.LevelWarn
	case strings.HasPrefix(line, "[INFO]"):
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
