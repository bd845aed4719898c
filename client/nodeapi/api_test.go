package nodeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/client/clienttest"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 5 * time.Second
	allocID  = "11111111-2222-3333-4444-555555555555"
)

func p[T any](v T) *T { return &v }

// node is one allocation with a task called web, and the handlers' view of it.
type node struct {
	t        *testing.T
	runner   *alloc.Runner
	driver   *clienttest.Driver
	server   *httptest.Server
	dynamic  map[string]*string
	removed  []string
	services *service.Manager
}

func (n *node) Alloc(id string) *alloc.Runner {
	if id == allocID {
		return n.runner
	}
	return nil
}
func (n *node) CollectAll() { n.removed = append(n.removed, "all") }
func (n *node) CollectOne(id string) error {
	n.removed = append(n.removed, id)
	return nil
}
func (n *node) Metadata() (*structs.NodeMetaResponse, error) {
	return &structs.NodeMetaResponse{Dynamic: n.dynamic}, nil
}
func (n *node) ApplyMetadata(changes map[string]*string) (*structs.NodeMetaResponse, error) {
	n.dynamic = changes
	return n.Metadata()
}

func newNode(t *testing.T, disableExec bool) *node {
	t.Helper()
	return newNodeAt(t, disableExec, clock.Real{})
}

// hasty is a clock on which everything is due at once, almost.
type hasty struct{ clock.Real }

func (h hasty) NewTimer(d time.Duration) clock.Timer { return h.Real.NewTimer(d / 500) }

// newNodeAt makes a node whose handlers live by clk.
func newNodeAt(t *testing.T, disableExec bool, clk clock.Clock) *node {
	t.Helper()
	n := &node{t: t, driver: clienttest.New()}
	memory := clienttest.NewMemory()
	n.services = service.NewManager(service.Config{Clock: clock.Real{}, Logger: logx.Discard()})
	self := &structs.Node{ID: "n", Name: "node"}
	host := alloc.Host{
		Task: task.Host{
			Drivers: clienttest.NewCatalog(n.driver), Memory: memory, Clock: clock.Real{}, Logger: logx.Discard(),
			Node: func() *structs.Node { return self }, MaxKillTimeout: time.Second, Random: func() float64 { return 0 },
		},
		Memory: memory, Services: n.services, Dirs: allocdir.Base{Path: t.TempDir()}, Changed: func(string) {},
	}
	job := &structs.Job{ID: p("job"), Name: p("job"), Type: p("batch"), TaskGroups: []*structs.TaskGroup{{
		Name: p("g"), Tasks: []*structs.Task{{Name: "web", Driver: clienttest.Name}}}}}
	n.runner = alloc.New(host, &structs.Allocation{ID: allocID, Name: "job.g[0]", JobID: "job", Job: job, TaskGroup: "g", DesiredStatus: "run"}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	group := loop.New(ctx)
	group.Go("runner", n.runner.Run)
	n.server = httptest.NewServer(New(Config{
		CPU:  func() int { return 1000 },
		Node: n, Checks: n.services.Checks, AllocDir: host.Dirs.Path, DisableExec: disableExec, Clock: clk, Logger: logx.Discard(),
	}))
	t.Cleanup(func() {
		n.server.Close()
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	testx.Eventually(t, patience, "the task runs", func() bool { return n.runner.Status().ClientStatus == "running" })
	return n
}

func (n *node) write(name, text string) {
	n.t.Helper()
	f, err := os.OpenFile(filepath.Join(n.runner.Dir().Path(), name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) url(route string, query ...string) string {
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return n.server.URL + strings.Replace(route, "ID", allocID, 1) + "?" + values.Encode()
}

func (n *node) get(route string, query ...string) (int, string) {
	n.t.Helper()
	return n.do(http.MethodGet, "", route, query...)
}

func (n *node) do(method, body, route string, query ...string) (int, string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, n.url(route, query...), strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func decode(t *testing.T, text string) []structs.StreamFrame {
	t.Helper()
	var out []structs.StreamFrame
	decoder := json.NewDecoder(strings.NewReader(text))
	for {
		var f structs.StreamFrame
		err := decoder.Decode(&f)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
}

func TestFileRoutes(t *testing.T) {
	n := newNode(t, false)
	n.write("alloc/data/f", "0123456789")
	status, body := n.get("/v1/client/fs/ls/ID", "path", "alloc/data")
	var infos []structs.AllocFileInfo
	if err := json.Unmarshal([]byte(body), &infos); err != nil || status != 200 || len(infos) != 1 || infos[0].Name != "f" || infos[0].Size != 10 {
		t.Errorf("ls: %d %s (%v)", status, body, err)
	}
	for _, c := range []struct {
		route  string
		query  []string
		status int
		body   string
	}{
		{"/v1/client/fs/ls/ID", nil, 200, `"Name":"alloc"`},
		{"/v1/client/fs/stat/ID", []string{"path", "alloc/data/f"}, 200, `"Size":10`},
		{"/v1/client/fs/stat/ID", nil, 400, "must provide a file name"},
		{"/v1/client/fs/stat/ID", []string{"path", "nope"}, 404, "nope"},
		{"/v1/client/fs/stat/nope", []string{"path", "x"}, 404, `Unknown allocation "nope"`},
		{"/v1/client/fs/cat/ID", []string{"path", "alloc/data/f"}, 200, "0123456789"},
		{"/v1/client/fs/cat/ID", nil, 200, "must provide a file name"},
		{"/v1/client/fs/cat/nope", []string{"path", "x"}, 200, "Unknown allocation"},
		{"/v1/client/fs/readat/ID", []string{"path", "alloc/data/f", "offset", "3", "limit", "4"}, 200, "3456"},
		{"/v1/client/fs/readat/ID", []string{"path", "alloc/data/f", "offset", "8"}, 200, "89"},
		{"/v1/client/fs/readat/ID", []string{"path", "alloc/data/f"}, 200, "offset"},
		{"/v1/client/fs/stream/ID", []string{"path", "alloc/data/f", "origin", "middle"}, 400, "origin must be start or end"},
		{"/v1/client/fs/stream/ID", []string{"path", "alloc/data/f", "follow", "maybe"}, 400, "follow"},
		{"/v1/client/fs/logs/ID", []string{"type", "stdout"}, 400, "must provide task name"},
		{"/v1/client/fs/logs/ID", []string{"task", "web"}, 400, "must provide log type (stdout/stderr)"},
		{"/v1/client/fs/logs/ID", []string{"task", "nope", "type", "stdout"}, 404, "unknown task"},
		{"/v1/client/fs/logs/ID", []string{"task", "web", "type", "stdout"}, 404, "no stdout yet"},
		{"/v1/client/allocation/ID/snapshot", nil, 400, "still running"},
	} {
		status, body := n.get(c.route, c.query...)
		if status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s %v: %d %q, want %d and %q", c.route, c.query, status, body, c.status, c.body)
		}
	}
}

func TestHostilePathsOverHTTP(t *testing.T) {
	n := newNode(t, false)
	outside := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(outside, []byte("CANARY"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.write("web/secrets/token", "CANARY")
	data := filepath.Join(n.runner.Dir().SharedPath(), "data")
	for name, target := range map[string]string{"a": outside, "b": filepath.Dir(outside), "c": "../../web/secrets/token"} {
		if err := os.Symlink(target, filepath.Join(data, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(data, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A log file that is a link or a pipe must not be read either.
	if err := os.Symlink(outside, filepath.Join(n.runner.Dir().LogsPath(), "web.stdout.0")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(n.runner.Dir().LogsPath(), "web.stderr.0"), 0o644); err != nil {
		t.Fatal(err)
	}
	paths := []string{"alloc/data/a", "alloc/data/b/shadow", "alloc/data/c", "web/secrets/token", "web/%73ecrets/token",
		"../" + allocID + "/web/secrets/token", "alloc/data/pipe", "/etc/passwd", "../../../../../../etc/passwd", "web/secrets"}
	for _, path := range paths {
		for _, route := range []string{"ls", "stat", "cat", "readat", "stream"} {
			status, body := n.get("/v1/client/fs/"+route+"/ID", "path", path, "offset", "0", "follow", "false")
			if strings.Contains(body, "CANARY") || strings.Contains(body, "root:") || strings.Contains(body, "Q0FOQVJZ") {
				t.Errorf("%s %s shows what it must not: %d %s", route, path, status, body)
			}
		}
	}
	for _, kind := range []string{"stdout", "stderr"} {
		if status, body := n.get("/v1/client/fs/logs/ID", "task", "web", "type", kind); status == 200 || strings.Contains(body, "CANARY") {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
}

func TestStreamFrames(t *testing.T) {
	n := newNode(t, false)
	big := strings.Repeat("x", frameSize+10)
	n.write("alloc/data/f", big)
	status, body := n.get("/v1/client/fs/stream/ID", "path", "alloc/data/f", "follow", "false", "offset", "5")
	frames := decode(t, body)
	if status != 200 || len(frames) != 2 || len(frames[0].Data) != frameSize || frames[0].Offset != 5 || frames[1].Offset != 5+frameSize || len(frames[1].Data) != 5 {
		t.Errorf("status %d, %d frames", status, len(frames))
	}
	_, body = n.get("/v1/client/fs/stream/ID", "path", "alloc/data/f", "follow", "false", "offset", "3", "origin", "end")
	if frames = decode(t, body); len(frames) != 1 || string(frames[0].Data) != "xxx" {
		t.Errorf("from the end: %+v", frames)
	}
}

// follow opens a stream and returns a reader of its frames that are not
// heartbeats.
func (n *node) follow(route string, query ...string) (next func() structs.StreamFrame, stop func()) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url(route, query...), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	decoder := json.NewDecoder(resp.Body)
	next = func() structs.StreamFrame {
		n.t.Helper()
		for {
			var f structs.StreamFrame
			if err := decoder.Decode(&f); err != nil {
				n.t.Fatal(err)
			}
			if len(f.Data) > 0 || f.FileEvent != "" {
				return f
			}
		}
	}
	return next, func() { cancel(); _ = resp.Body.Close() }
}

func TestFollowingAFile(t *testing.T) {
	n := newNode(t, false)
	n.write("alloc/data/f", "one")
	next, stop := n.follow("/v1/client/fs/stream/ID", "path", "alloc/data/f")
	defer stop()
	if f := next(); string(f.Data) != "one" || f.File != "alloc/data/f" {
		t.Errorf("frame %+v", f)
	}
	n.write("alloc/data/f", "two")
	if f := next(); string(f.Data) != "two" || f.Offset != 3 {
		t.Errorf("frame %+v", f)
	}
	path := filepath.Join(n.runner.Dir().Path(), "alloc/data/f")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if f := next(); f.FileEvent != eventTruncated {
		t.Errorf("frame %+v", f)
	}
	n.write("alloc/data/f", "three")
	if f := next(); string(f.Data) != "three" || f.Offset != 0 {
		t.Errorf("frame %+v", f)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if f := next(); f.FileEvent != eventDeleted {
		t.Errorf("frame %+v", f)
	}
}

func TestLogsAreOneStreamOverRotatedFiles(t *testing.T) {
	n := newNode(t, false)
	n.write("alloc/logs/web.stdout.9", "nine ")
	n.write("alloc/logs/web.stdout.10", "ten ")
	n.write("alloc/logs/web.stdout.x", "no log")
	n.write("alloc/logs/web2.stdout.0", "another task's")
	text := func(query ...string) string {
		status, body := n.get("/v1/client/fs/logs/ID", append([]string{"task", "web", "type", "stdout", "plain", "true"}, query...)...)
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		return body
	}
	for want, query := range map[string][]string{
		"nine ten ": nil, "e ten ": {"offset", "3"}, "en ": {"offset", "6"}, "ne ten ": {"offset", "7", "origin", "end"}, "": {"offset", "99"},
	} {
		if got := text(query...); got != want {
			t.Errorf("%v: %q, want %q", query, got, want)
		}
	}
	if got := text("offset", "99", "origin", "end"); got != "nine ten " {
		t.Errorf("more than there is from the end: %q", got)
	}
	next, stop := n.follow("/v1/client/fs/logs/ID", "task", "web", "type", "stdout", "follow", "true", "origin", "end", "offset", "0")
	defer stop()
	n.write("alloc/logs/web.stdout.10", "more ")
	if f := next(); string(f.Data) != "more " || f.File != "web.stdout.10" {
		t.Errorf("frame %+v", f)
	}
	n.write("alloc/logs/web.stdout.11", "eleven")
	if f := next(); string(f.Data) != "eleven" || f.Offset != 0 {
		t.Errorf("frame %+v", f)
	}
}

func TestFollowedLogsEndWithTheirTask(t *testing.T) {
	n := newNode(t, false)
	var wg sync.WaitGroup
	var body string
	wg.Go(func() {
		_, body = n.get("/v1/client/fs/logs/ID", "task", "web", "type", "stdout", "follow", "true", "plain", "true")
	})
	n.write("alloc/logs/web.stdout.0", "last words")
	n.driver.Exit(allocID, "web", 0)
	wg.Wait()
	if body != "last words" {
		t.Errorf("body %q", body)
	}
}

func TestAllocationRoutes(t *testing.T) {
	n := newNode(t, false)
	if status, body := n.get("/v1/client/allocation/ID/stats"); status != 200 || !strings.Contains(body, `"RSS":1048576`) {
		t.Errorf("stats: %d %s", status, body)
	}
	for _, c := range []struct {
		method, route, body string
		status              int
		want                string
	}{
		{"GET", "/v1/client/allocation/ID/checks", "", 200, "{}"},
		{"GET", "/v1/client/allocation/nope/checks", "", 404, "Unknown allocation"},
		{"GET", "/v1/client/allocation/ID/restart", "", 405, "Invalid method"},
		{"PUT", "/v1/client/allocation/ID/restart", `{"TaskName":"nope"}`, 404, "unknown task"},
		{"PUT", "/v1/client/allocation/ID/restart", `{"TaskName":"web","AllTasks":true}`, 400, "not both"},
		{"PUT", "/v1/client/allocation/ID/restart", `{`, 400, "decode"},
		{"PUT", "/v1/client/allocation/ID/signal", `{"Task":"web","Signal":"SIGHUP"}`, 200, "{"},
		{"PUT", "/v1/client/allocation/ID/signal", `{}`, 400, "must provide a signal"},
		{"PUT", "/v1/client/allocation/ID/gc", "", 400, "still running"},
		{"GET", "/v1/client/gc", "", 200, ""},
		{"GET", "/v1/client/metadata", "", 200, "Dynamic"},
		{"POST", "/v1/client/metadata", `{"Meta":{"a":"b","c":null}}`, 200, `"a":"b"`},
		{"POST", "/v1/client/metadata", `{}`, 400, "Meta"},
		{"POST", "/v1/client/metadata", `{"Meta":{"a b":"c"}}`, 400, "invalid metadata key"},
		{"POST", "/v1/client/metadata", `{"Meta":{"${a}":"c"}}`, 400, "invalid metadata key"},
		{"PUT", "/v1/client/metadata", `{}`, 405, "Invalid method"},
		{"GET", "/v1/client/stats", "", 200, `"Memory"`},
		{"PUT", "/v1/client/allocation/ID/restart", `{"TaskName":"web"}`, 200, "{"},
	} {
		status, body := n.do(c.method, c.body, c.route)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: %d %q, want %d and %q", c.method, c.route, c.body, status, body, c.status, c.want)
		}
	}
	testx.Eventually(t, patience, "web is started again", func() bool { return len(n.driver.Starts()) == 2 })
	testx.Eventually(t, patience, "web ends", func() bool { return n.driver.Exit(allocID, "web", 0) })
	<-n.runner.Done()
	if status, body := n.do("PUT", `{"AllTasks":true}`, "/v1/client/allocation/ID/restart"); status != 400 || !strings.Contains(body, "not running") {
		t.Errorf("restart of all tasks: %d %s", status, body)
	}
	if status, body := n.do("PUT", "", "/v1/client/allocation/ID/gc"); status != 200 || len(n.removed) != 2 || n.removed[1] != allocID {
		t.Errorf("gc: %d %s, removed %v", status, body, n.removed)
	}
	if status, body := n.do("PUT", `{"TaskName":"web"}`, "/v1/client/allocation/ID/restart"); status != 400 || !strings.Contains(body, "not running") {
		t.Errorf("restart of a dead task: %d %s", status, body)
	}
}

// dial opens an exec session.
func (n *node) dial(t *testing.T, command []string, query ...string) *websocket.Conn {
	t.Helper()
	text, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	query = append([]string{"task", "web", "command", string(text)}, query...)
	conn, resp, err := websocket.Dial(t.Context(), n.url("/v1/client/allocation/ID/exec", query...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close() // the connection is the websocket's
	}
	t.Cleanup(func() { _ = conn.CloseNow() }) // may be closed already
	return conn
}

func say(t *testing.T, conn *websocket.Conn, in any) {
	t.Helper()
	data, err := json.Marshal(in)
	if err == nil {
		err = conn.Write(t.Context(), websocket.MessageText, data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hear reads a session to its end.
func hear(t *testing.T, conn *websocket.Conn) (stdout, stderr string, exit *structs.ExecStreamingExitResult, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errOut bytes.Buffer
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return out.String(), errOut.String(), exit, err
		}
		var f structs.ExecStreamingOutput
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		if f.Stdout != nil {
			out.Write(f.Stdout.Data)
		}
		if f.Stderr != nil {
			errOut.Write(f.Stderr.Data)
		}
		if f.Exited {
			exit = f.Result
		}
	}
}

func TestExec(t *testing.T) {
	n := newNode(t, false)

	conn := n.dial(t, []string{"cat"})
	big := bytes.Repeat([]byte("line\n"), 40000)
	for at := 0; at < len(big); at += 50000 {
		say(t, conn, structs.ExecStreamingInput{Stdin: &structs.ExecStreamingIOOperation{Data: big[at : at+50000]}})
	}
	say(t, conn, struct{}{}) // a heartbeat
	say(t, conn, structs.ExecStreamingInput{Stdin: &structs.ExecStreamingIOOperation{Close: true}})
	out, _, exit, err := hear(t, conn)
	if out != string(big) || exit == nil || exit.ExitCode != 0 || websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("cat: %d bytes, exit %+v, %v", len(out), exit, err)
	}

	_, stderr, exit, _ := hear(t, n.dial(t, []string{"exit", "7"}))
	if stderr != "bye\n" || exit == nil || exit.ExitCode != 7 {
		t.Errorf("exit: %q, %+v", stderr, exit)
	}

	conn = n.dial(t, []string{"size"}, "tty", "true")
	say(t, conn, structs.ExecStreamingInput{TTYSize: &structs.TerminalSize{Height: 24, Width: 80}})
	if out, _, _, _ := hear(t, conn); out != "24x80" {
		t.Errorf("size: %q", out)
	}

	_, _, exit, err = hear(t, n.dial(t, []string{"no-such-command"}))
	if exit != nil || websocket.CloseStatus(err) != websocket.StatusInternalError || !strings.Contains(err.Error(), "not found") {
		t.Errorf("failure: %+v, %v", exit, err)
	}

	conn = n.dial(t, []string{"exit", "0"}, "ws_handshake", "true")
	say(t, conn, map[string]any{"version": 1, "auth_token": "x"})
	if _, _, exit, _ := hear(t, conn); exit == nil {
		t.Error("a browser's handshake fails")
	}
	conn = n.dial(t, []string{"exit", "0"}, "ws_handshake", "true")
	say(t, conn, map[string]any{"version": 2})
	if _, _, _, err := hear(t, conn); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("a wrong handshake: %v", err)
	}
}

func TestCallerWhoGoesEndsTheCommand(t *testing.T) {
	n := newNode(t, false)
	conn := n.dial(t, []string{"hang"})
	if err := conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	// goleak, at the end of the tests, sees whether the command has ended.
	n.server.CloseClientConnections()
}

func TestCallerWhoGoesEndsTheCommandThatReadsNothing(t *testing.T) {
	n := newNodeAt(t, false, hasty{})
	conn := n.dial(t, []string{"hang"})
	say(t, conn, structs.ExecStreamingInput{Stdin: &structs.ExecStreamingIOOperation{Data: []byte("x")}})
	testx.Eventually(t, patience, "the command runs", func() bool { return n.driver.Hanging() == 1 })
	if err := conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the command has ended", func() bool { return n.driver.Hanging() == 0 })
}

func TestBrowserThatSaysNothingIsHungUpOn(t *testing.T) {
	n := newNodeAt(t, false, hasty{})
	conn := n.dial(t, []string{"exit", "0"}, "ws_handshake", "true")
	_, _, exit, err := hear(t, conn)
	if exit != nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the session went on: %+v, %v", exit, err)
	}
}

func TestExecRefusals(t *testing.T) {
	n := newNode(t, false)
	for _, c := range []struct {
		query  []string
		status int
		want   string
	}{
		{[]string{"command", `["sh"]`}, 400, "task name"},
		{[]string{"task", "nope", "command", `["sh"]`}, 404, "unknown task"},
		{[]string{"task", "web"}, 400, "JSON list"},
		{[]string{"task", "web", "command", "[]"}, 400, "JSON list"},
		{[]string{"task", "web", "command", `["sh"]`, "tty", "maybe"}, 400, "tty"},
	} {
		if status, body := n.get("/v1/client/allocation/ID/exec", c.query...); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%v: %d %q", c.query, status, body)
		}
	}
	off := newNode(t, true)
	if status, body := off.get("/v1/client/allocation/ID/exec", "task", "web", "command", `["sh"]`); status != 403 || !strings.Contains(body, "switched off") {
		t.Errorf("switched off: %d %q", status, body)
	}
}

func ExampleNew() {
	handler := New(Config{Node: (*node)(nil), Clock: clock.Real{}})
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/client/identity", nil))
	fmt.Println(recorder.Code)
	// Output: 501
}
