package clitest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// tty CODE INPUT steppe ARGS... runs steppe at a terminal, types the file INPUT
// once something is seen there, and wants the exit code. What was seen is in
// the file tty.
func tty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || args[2] != "steppe" {
		ts.Fatalf("usage: tty CODE INPUT steppe ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), awaitWithin)
	defer cancel()
	first, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator)) // where testscript puts its commands
	cmd := exec.CommandContext(ctx, filepath.Join(first, args[2]), args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "TERM=xterm", "PATH="+ts.Getenv("PATH"), "HOME="+ts.Getenv("HOME"), "STEPPE_ADDR="+ts.Getenv("STEPPE_ADDR"))
	screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 132})
	ts.Check(err)
	var seen bytes.Buffer
	typed, chunk := false, make([]byte, 4096)
	for {
		n, err := screen.Read(chunk)
		seen.Write(chunk[:n])
		if n > 0 && !typed {
			typed = true
			_, err := screen.WriteString(ts.ReadFile(args[1]))
			ts.Check(err)
		}
		if err != nil {
			break // the other end is closed: the program has ended
		}
	}
	got := exitCode(ts, cmd.Wait())
	ts.Check(screen.Close())
	ts.Check(os.WriteFile(ts.MkAbs("tty"), seen.Bytes(), 0o600))
	ts.Logf("%s", strings.ReplaceAll(seen.String(), "\x1b", "^["))
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
