package nodeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

const (
	// execBeat is how often a silent session says that it lives.
	execBeat = 10 * time.Second
	// execFrame is the most output in one message: with its encoding it stays
	// below what websocket libraries read by default.
	execFrame = 16 << 10
	// execLimit is the largest message that is read.
	execLimit = 1 << 20
	// handshakePatience bounds the wait for a browser's first message.
	handshakePatience = 10 * time.Second
	// closePatience bounds the last words of a session.
	closePatience = 5 * time.Second
)

// exec runs a command inside of a task, its streams in the frames of a
// websocket.
func (a *api) exec(w http.ResponseWriter, r *http.Request) error {
	runner, err := a.find(r)
	if err != nil {
		return err
	}
	if a.DisableExec {
		return fail(http.StatusForbidden, "exec is switched off on this node (client.disable_remote_exec)")
	}
	name := r.URL.Query().Get("task")
	if name == "" {
		return bad("must provide a task name")
	}
	t := runner.Task(name)
	if t == nil {
		return fail(http.StatusNotFound, "unknown task name %q", name)
	}
	var command []string
	if err := json.Unmarshal([]byte(r.URL.Query().Get("command")), &command); err != nil || len(command) == 0 {
		return bad("command must be a JSON list of at least one string")
	}
	tty, err := query(r, "tty", false, strconv.ParseBool)
	if err != nil {
		return err
	}
	handshake, err := query(r, "ws_handshake", false, strconv.ParseBool)
	if err != nil {
		return err
	}
	return a.serveExec(w, r, t, &drivers.ExecRequest{Command: command, TTY: tty}, handshake)
}

func (a *api) serveExec(w http.ResponseWriter, r *http.Request, t *task.Runner, req *drivers.ExecRequest, handshake bool) error {
	// Who may call was decided before, by Host and Origin too.
	conn, err := websocket.Accept(rawWriter(w), r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return fmt.Errorf("accept websocket: %w", err)
	}
	defer func() { _ = conn.CloseNow() }() // closed in good order before
	conn.SetReadLimit(execLimit)
	s := &execSession{conn: conn, api: a}
	if handshake {
		if err := s.handshake(r.Context()); err != nil {
			_ = conn.Close(websocket.StatusPolicyViolation, "the handshake failed") // the peer may be gone
			return nil
		}
	}
	s.run(r.Context(), t, req)
	return nil
}

// rawWriter gives the websocket the writer that can be taken over.
func rawWriter(w http.ResponseWriter) http.ResponseWriter {
	if t, ok := w.(*tracker); ok {
		t.wrote = true
		return t.ResponseWriter
	}
	return w
}

// exitCode is the code as a shell would tell it.
func exitCode(exit *drivers.ExitResult) int {
	if exit.ExitCode == 0 && exit.Signal != 0 {
		return 128 + exit.Signal
	}
	return exit.ExitCode
}

// shorten fits a text into a close frame.
func shorten(s string) string {
	const most = 120
	if len(s) > most {
		return s[:most]
	}
	return s
}

type execSession struct {
	conn *websocket.Conn
	api  *api
	mu   sync.Mutex // one frame at a time
}

// handshake reads the first message of browsers, which can't send headers.
func (s *execSession) handshake(ctx context.Context) error {
	var hello struct {
		Version int    `json:"version"`
		Token   string `json:"auth_token"`
	}
	data, err := s.first(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &hello); err != nil {
		return err
	}
	if hello.Version != 1 {
		return fmt.Errorf("version %d is unknown", hello.Version)
	}
	return nil
}

// first reads the first message. A caller who says nothing for too long is hung
// up on.
func (s *execSession) first(ctx context.Context) (data []byte, err error) {
	deadline := loop.New(ctx)
	readCtx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	deadline.Go("deadline", func(ctx context.Context) error {
		if s.api.pause(ctx, handshakePatience) == nil {
			hangUp()
		}
		return nil
	})
	_, data, err = s.conn.Read(readCtx)
	deadline.Stop()
	_ = deadline.Wait() // its function returns no error
	return data, err
}

// run connects the streams and waits for the command.
func (s *execSession) run(ctx context.Context, t *task.Runner, req *drivers.ExecRequest) {
	stdin, stdinWriter := io.Pipe()
	resize := make(chan drivers.TerminalSize, 4)
	req.Stdin, req.Resize = stdin, resize
	req.Stdout = outWriter{ctx, s, func(op *structs.ExecStreamingIOOperation) structs.ExecStreamingOutput {
		return structs.ExecStreamingOutput{Stdout: op}
	}}
	req.Stderr = outWriter{ctx, s, func(op *structs.ExecStreamingIOOperation) structs.ExecStreamingOutput {
		return structs.ExecStreamingOutput{Stderr: op}
	}}
	execCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	group := loop.New(ctx)
	group.Go("exec", func(context.Context) error {
		defer group.Stop()
		exit, err := t.Exec(execCtx, req)
		_ = stdin.Close() // a pipe's closing never fails
		s.finish(ctx, exit, err)
		return nil
	})
	// Reading under the group's context would tear the connection down with
	// it, before the last words are said: it ends with the connection.
	group.Go("read", func(context.Context) error {
		err := s.read(ctx, stdinWriter, resize)
		cancel()                            // the caller has gone, or all is over
		_ = stdinWriter.CloseWithError(err) // a pipe's closing never fails
		return nil
	})
	group.Go("beat", func(ctx context.Context) error {
		s.beat(ctx)
		// The caller has gone, or all is over. Reading may not have seen it:
		// it waits for a command that doesn't take its input.
		cancel()
		_ = stdin.Close() // a pipe's closing never fails
		return nil
	})
	_ = group.Wait() // its functions return no errors
}

// finish says how the command ended and closes the connection.
func (s *execSession) finish(ctx context.Context, exit *drivers.ExitResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, closePatience)
	defer cancel()
	if err == nil && exit == nil {
		err = errors.New("the command did not tell how it ended")
	}
	if err != nil {
		_ = s.conn.Close(websocket.StatusInternalError, shorten(err.Error())) // the peer may be gone
		return
	}
	result := &structs.ExecStreamingExitResult{ExitCode: exitCode(exit)}
	if s.send(ctx, structs.ExecStreamingOutput{Exited: true, Result: result}) == nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, "") // the peer may be gone
		return
	}
	_ = s.conn.CloseNow() // the peer is gone
}

// read takes the caller's frames until the connection ends.
func (s *execSession) read(ctx context.Context, stdin *io.PipeWriter, resize chan<- drivers.TerminalSize) error {
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		var in structs.ExecStreamingInput
		if err := json.Unmarshal(data, &in); err != nil {
			return fmt.Errorf("decode frame: %w", err)
		}
		if in.TTYSize != nil {
			select {
			case resize <- drivers.TerminalSize{Height: in.TTYSize.Height, Width: in.TTYSize.Width}:
			default: // the newest size will come again with the next change
			}
		}
		if in.Stdin == nil {
			continue
		}
		if len(in.Stdin.Data) > 0 {
			if _, err := stdin.Write(in.Stdin.Data); err != nil {
				continue // the command has closed its input
			}
		}
		if in.Stdin.Close {
			_ = stdin.Close() // a pipe's closing never fails
		}
	}
}

// beat says that the session lives, until nobody hears it or ctx ends.
func (s *execSession) beat(ctx context.Context) {
	for s.api.pause(ctx, execBeat) == nil {
		if s.send(ctx, structs.ExecStreamingOutput{}) != nil {
			return
		}
	}
}

func (s *execSession) send(ctx context.Context, out structs.ExecStreamingOutput) error {
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn.Write(ctx, websocket.MessageText, data)
}

// outWriter turns what a command writes into frames.
type outWriter struct {
	ctx  context.Context
	s    *execSession
	wrap func(*structs.ExecStreamingIOOperation) structs.ExecStreamingOutput
}

func (w outWriter) Write(p []byte) (int, error) {
	for at := 0; at < len(p); {
		n := min(len(p)-at, execFrame)
		if err := w.s.send(w.ctx, w.wrap(&structs.ExecStreamingIOOperation{Data: p[at : at+n]})); err != nil {
			return at, err
		}
		at += n
	}
	return len(p), nil
}
