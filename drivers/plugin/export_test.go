package plugin

import (
	"io"
	"log/slog"
)

// LogLines is the host's end of a plugin's stderr.
func LogLines(logger *slog.Logger) io.Writer { return &logLines{logger: logger} }
