package clitest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/steppe-run/steppe/command"
	"github.com/steppe-run/steppe/command/term"
)

// TestMain lets the test binary be steppe: by its name in scripts, and by the
// name under which an agent starts its own drivers.
func TestMain(m *testing.M) {
	steppe := func() { os.Exit(command.Main(context.Background(), os.Args, term.System())) }
	testscript.Main(m, map[string]func(){"steppe": steppe, "exe": steppe})
}

// TestScripts runs every script. They share one agent and keep out of each
// other's way by job ids of their own; a script that would disturb the others
// starts an agent for itself.
func TestScripts(t *testing.T) {
	shared, err := startAgent(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.stop(); err != nil {
			t.Error(err)
		}
	})
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("STEPPE_ADDR", shared.address)
			env.Setenv("PORT", shared.port)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "await": await, "capture": capture, "agent": ownAgent, "cut": cut, "ports": ports, "tty": tty,
		},
	})
}
