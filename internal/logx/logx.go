// Package logx sets up logging: slog with constant messages and keys from one
// list, plus the bridge for libraries that want a standard logger.
//
// It must not know any noun of the field. Begin reading at New.
package logx

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// The keys that log records may carry. One word for one thing.
const (
	KeyError      = "error"
	KeyNamespace  = "namespace"
	KeyJob        = "job_id"
	KeyGroup      = "task_group"
	KeyTask       = "task"
	KeyAlloc      = "alloc_id"
	KeyEval       = "eval_id"
	KeyDeployment = "deployment_id"
	KeyNode       = "node_id"
	KeyServer     = "server"
	KeyDriver     = "driver"
	KeyAddr       = "addr"
	KeyPath       = "path"
	KeyIndex      = "index"
	KeyCount      = "count"
	KeyDuration   = "duration"
	KeyReason     = "reason"
	KeyPID        = "pid"
	KeyRoom       = "room"
	KeyFrom       = "from"
	KeyUpTo       = "up_to"
)

// LevelTrace is below debug.
const LevelTrace = slog.Level(-8)

// levelOff is above everything that is ever logged.
const levelOff = slog.Level(100)

// ParseLevel reads TRACE, DEBUG, INFO, WARN, ERROR or OFF in any case.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(s) {
	case "TRACE":
		return LevelTrace, nil
	case "DEBUG":
		return slog.LevelDebug, nil
	case "", "INFO":
		return slog.LevelInfo, nil
	case "WARN":
		return slog.LevelWarn, nil
	case "ERROR", "ERR":
		return slog.LevelError, nil
	case "OFF":
		return levelOff, nil
	}
	return 0, fmt.Errorf("log level %q is unknown: use TRACE, DEBUG, INFO, WARN, ERROR or OFF", s)
}

// New returns a logger that writes text, or JSON lines when asked, to w.
// The level may change while it runs (a *slog.LevelVar).
func New(w io.Writer, level slog.Leveler, json bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: nameTrace}
	if json {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Discard returns a logger that drops everything.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func nameTrace(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.LevelKey && a.Value.Any() == LevelTrace {
		a.Value = slog.StringValue("TRACE")
	}
	return a
}
