package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

// submit registers the jobs of a wave over as many connections as asked.
func (r *run) submit(ctx context.Context, wave string, jobs int) error {
	form, err := newForm(&r.opts, wave)
	if err != nil {
		return err
	}
	group := loop.New(ctx)
	var next atomic.Int64
	for range min(jobs, r.opts.Connections) {
		group.Go("register jobs", func(ctx context.Context) error {
			line, err := dial(ctx, r.api)
			if err != nil {
				return err
			}
			defer line.close()
			for i := int(next.Add(1)) - 1; i < jobs; i = int(next.Add(1)) - 1 {
				id, now := jobID(wave, i), r.clock.Now()
				if err := line.register(form.job(id, now), now.Add(registerPatience)); err != nil {
					return fmt.Errorf("register job %s: %w", id, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func jobID(wave string, i int) string { return wave + "-" + strconv.Itoa(i) }

// form is the registration of a wave's jobs, which differ in their id and in when
// they are sent.
type form struct{ text []byte }

// What stands in a form for the id and for the time. The time is one of 19
// digits, as it is in this century.
const blankID = "a-blank-for-the-id"

func blankTime() time.Time { return time.Unix(0, 1_000_000_000_000_000_000) }

func newForm(o *Options, wave string) (*form, error) {
	text, err := json.Marshal(&structs.JobRegisterRequest{Job: o.job(wave, blankID, blankTime())})
	if err != nil {
		return nil, fmt.Errorf("encode a job: %w", err)
	}
	return &form{text: text}, nil
}

func stamp(t time.Time) []byte { return strconv.AppendInt(nil, t.UnixNano(), 10) }

// job fills a form in.
func (f *form) job(id string, sent time.Time) []byte {
	text := bytes.Replace(f.text, []byte(blankID), []byte(id), 1)
	return bytes.Replace(text, stamp(blankTime()), stamp(sent), 1)
}

// registerPatience is how long a registration may take.
const registerPatience = 2 * time.Minute

// line is a connection over which jobs are registered, one after the other. It
// speaks HTTP by itself: package http's client hands each request to two other
// goroutines, and what registers shares the machine with what is measured.
type line struct {
	conn net.Conn
	in   *bufio.Reader
	out  bytes.Buffer
	stop func() bool
}

func dial(ctx context.Context, addr string) (*line, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("reach the server: %w", err)
	}
	return &line{conn: conn, in: bufio.NewReader(conn), stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}, nil
}

func (l *line) close() {
	l.stop()
	_ = l.conn.Close() // everything was answered
}

// register sends a registration and waits for the answer.
func (l *line) register(body []byte, deadline time.Time) error {
	if err := l.conn.SetDeadline(deadline); err != nil {
		return err
	}
	l.out.Reset()
	fmt.Fprintf(&l.out, "PUT /v1/jobs HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", l.conn.RemoteAddr(), len(body))
	l.out.Write(body)
	if _, err := l.conn.Write(l.out.Bytes()); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	answer, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
