//go:build linux

package exec_test

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/drivertest"
	"github.com/steppe-run/steppe/drivers/exec"
)

func TestMain(m *testing.M) {
	os.Exit(drivertest.Main(m, map[string]func(*slog.Logger) drivers.Driver{exec.Name: exec.New}))
}

// sh is the config block of a task that is a shell script.
func sh(script string, args ...any) map[string]any {
	return map[string]any{"command": "sh", "args": []any{"-c", fmt.Sprintf(script, args...)}}
}

func shell(script string) []string { return []string{"sh", "-c", script} }

func TestConformance(t *testing.T) {
	needRoot(t)
	h := drivertest.Harness{
		New: exec.New, Survives: true, TTY: true,
		Env:            map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin"},
		MissingCommand: map[string]any{"command": "/no/such/program"},
		Tasks: drivertest.Tasks{
			Forever: func() map[string]any { return sh("echo ready; exec sleep 300") },
			Exit: func(code int, after time.Duration) map[string]any {
				return sh("sleep %g; exit %d", after.Seconds(), code)
			},
			Print: func(stdout, stderr string) map[string]any {
				return sh("printf %%s '%s'; printf %%s '%s' >&2; sleep 300", stdout, stderr)
			},
			Stubborn: func() map[string]any { return sh("trap '' INT TERM; echo stubborn; while :; do sleep 1; done") },
		},
		Commands: drivertest.Commands{
			Echo: func(w string) []string { return []string{"echo", w} },
			Warn: func(w string) []string { return shell("echo " + w + " >&2") },
			Exit: func(code int) []string { return shell("exit " + strconv.Itoa(code)) },
			Cat:  []string{"cat"}, Sleep: []string{"sleep", "60"},
		},
	}
	drivertest.Run(t, h)
	drivertest.RunPlugin(t, h)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make sandboxes")
	}
}
