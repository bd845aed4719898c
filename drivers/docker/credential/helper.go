//go:build linux

package credential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// tokenUser is the name under which a helper hands out an identity token.
const tokenUser = "<token>"

// ask has a helper look a registry up: its address goes to the program's
// standard input, JSON comes back.
func (s Source) ask(ctx context.Context, helper, server string) (*Login, error) {
	program := "docker-credential-" + helper
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "get")
	cmd.Stdin = strings.NewReader(server + "\n")
	stdout, stderr := &bounded{room: maxFile}, &bounded{room: 4 << 10}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// A group of its own: what the helper has started must not keep us waiting.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("credential helper %s didn't answer within %s", program, s.Timeout)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && strings.Contains(stdout.String(), errNoLogin.Error()):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("credential helper %s: %w: %s", program, err, oneLine(stderr.String()))
	}
	var answer struct {
		ServerURL string
		Username  string
		Secret    string
	}
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("credential helper %s: its answer isn't what helpers answer", program)
	}
	if answer.Username == tokenUser {
		return &Login{IdentityToken: answer.Secret, Server: server}, nil
	}
	if answer.Username == "" && answer.Secret == "" {
		return nil, nil
	}
	return &Login{Username: answer.Username, Password: answer.Secret, Server: server}, nil
}

// bounded keeps the beginning of what is written and drops the rest.
type bounded struct {
	bytes.Buffer
	room int
}

// Write implements io.Writer and never fails.
func (b *bounded) Write(p []byte) (int, error) {
	keep := p[:min(len(p), b.room)]
	b.room -= len(keep)
	_, _ = b.Buffer.Write(keep)
	return len(p), nil
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(text), " ")
}
