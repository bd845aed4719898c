package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// maxExecFrame bounds one message of an exec session.
const maxExecFrame = 1 << 20

// ExecOptions describes a command to run inside a task.
type ExecOptions struct {
	AllocID, Task string
	Command       []string
	TTY           bool
	// Stdin may be nil: the command then finds its input ended. It should end its reads when the session's context
	// does, else the session waits for one more read.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Sizes delivers terminal sizes; nil without a terminal.
	Sizes <-chan structs.TerminalSize
}

// Exec runs a command inside a task and returns its exit code.
func (c *Client) Exec(ctx context.Context, o ExecOptions, q *Query) (int, error) {
	conn, err := c.dialExec(ctx, o, q)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.CloseNow() }() // the session is over either way
	conn.SetReadLimit(maxExecFrame)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Stdin == nil {
		o.Stdin = strings.NewReader("")
	}
	input := make(chan structs.ExecStreamingInput)
	group := loop.New(ctx)
	group.Go("stdin", func(ctx context.Context) error { return readInput(ctx, o.Stdin, input) })
	group.Go("send", func(ctx context.Context) error { return sendInput(ctx, conn, input, o.Sizes) })
	defer group.Stop()
	return receiveOutput(ctx, conn, o)
}

func (c *Client) dialExec(ctx context.Context, o ExecOptions, q *Query) (*websocket.Conn, error) {
	command, err := json.Marshal(o.Command)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	conn, err := c.dial(ctx, "/v1/client/allocation/"+segment(o.AllocID)+"/exec", q,
		map[string]string{"task": o.Task, "tty": fmt.Sprint(o.TTY), "command": string(command)})
	if err != nil {
		return nil, fmt.Errorf("open exec session: %w", err)
	}
	return conn, nil
}

// dial opens a websocket.
func (c *Client) dial(ctx context.Context, path string, q *Query, values map[string]string) (*websocket.Conn, error) {
	params := Query{}
	if q != nil {
		params = *q
	}
	params.Params = values
	target := "ws" + strings.TrimPrefix(c.base.String(), "http") + path + "?" + c.values(&params).Encode()
	header := http.Header{}
	if c.cfg.Token != "" {
		header.Set("X-Nomad-Token", c.cfg.Token)
	}
	conn, resp, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if err == nil {
		return conn, nil
	}
	if resp != nil && resp.Body != nil {
		text, readErr := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
		if readErr == nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, &StatusError{Code: resp.StatusCode, Body: string(text)}
		}
	}
	return nil, c.connectError(err)
}

func readInput(ctx context.Context, in io.Reader, out chan<- structs.ExecStreamingInput) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := in.Read(buffer)
		if n > 0 {
			data := append([]byte(nil), buffer[:n]...)
			select {
			case out <- structs.ExecStreamingInput{Stdin: &structs.ExecStreamingIOOperation{Data: data}}:
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			select {
			case out <- structs.ExecStreamingInput{Stdin: &structs.ExecStreamingIOOperation{Close: true}}:
			case <-ctx.Done():
			}
			return nil
		}
	}
}

func sendInput(ctx context.Context, conn *websocket.Conn, input <-chan structs.ExecStreamingInput, sizes <-chan structs.TerminalSize) error {
	for {
		var frame structs.ExecStreamingInput
		select {
		case <-ctx.Done():
			return nil
		case frame = <-input:
		case size := <-sizes:
			frame.TTYSize = &size
		}
		if err := wsjson.Write(ctx, conn, frame); err != nil {
			return fmt.Errorf("send input: %w", err)
		}
	}
}

func receiveOutput(ctx context.Context, conn *websocket.Conn, o ExecOptions) (int, error) {
	for {
		var frame structs.ExecStreamingOutput
		if err := wsjson.Read(ctx, conn, &frame); err != nil {
			var closed websocket.CloseError
			if errors.As(err, &closed) && closed.Reason != "" {
				return 0, errors.New(closed.Reason)
			}
			return 0, fmt.Errorf("read output: %w", err)
		}
		if err := writeOutput(frame.Stdout, o.Stdout); err != nil {
			return 0, err
		}
		if err := writeOutput(frame.Stderr, o.Stderr); err != nil {
			return 0, err
		}
		if frame.Exited {
			if frame.Result == nil {
				return 0, nil
			}
			return frame.Result.ExitCode, nil
		}
	}
}

func writeOutput(op *structs.ExecStreamingIOOperation, w io.Writer) error {
	if op == nil || len(op.Data) == 0 || w == nil {
		return nil
	}
	if _, err := w.Write(op.Data); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
