package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// cluster is a follower that forwards to a leader.
func pair(t *testing.T) (follower, leader *fakeServer, followerURL string) {
	t.Helper()
	leader = newFakeServer()
	leading, err := New(door.Config{Server: leader, Region: "global", Name: "leader"})
	if err != nil {
		t.Fatal(err)
	}
	follower = newFakeServer()
	follower.leads.Store(false)
	follower.forward = to(t, leading.Inside())
	_, followerURL = serve(t, door.Config{Server: follower, Name: "follower"})
	return follower, leader, followerURL
}

func TestFollowersPassWritesToTheLeader(t *testing.T) {
	_, leader, url := pair(t)
	var seen *structs.JobRegisterRequest
	leader.register = func(req *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		seen = req
		return &structs.JobRegisterResponse{EvalID: "from-leader", JobModifyIndex: 12}, nil
	}
	got := ask(t, "PUT", url+"/v1/jobs?namespace=n", `{"Job":{"ID":"team/web"}}`, "X-Nomad-Token: s", "X-Steppe-Hops: 4")
	if got.status != 200 || !strings.Contains(got.body, "from-leader") || got.header.Get("X-Nomad-Index") != "12" {
		t.Fatalf("%d %q %v", got.status, got.body, got.header)
	}
	if seen.SecretID != "s" || seen.Namespace != "n" {
		t.Errorf("seen %+v", seen)
	}
	if n := len(got.header.Values("X-Request-Id")); n != 1 {
		t.Errorf("%d request ids", n)
	}
	leader.register = func(*structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		return nil, structs.ErrRegistrationDisabled
	}
	if got := ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web"}}`); got.status != 403 || got.body != structs.ErrRegistrationDisabled.Text {
		t.Errorf("refusal: %d %q", got.status, got.body)
	}
}

func TestWithoutLeaderRequestsWaitThenFail(t *testing.T) {
	fake := newFakeServer()
	fake.leads.Store(false)
	fake.leader.Store(nil)
	_, url := serve(t, door.Config{Server: fake, LeaderWait: 200 * time.Millisecond})
	if got := ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web"}}`); got.status != 500 || got.body != "No cluster leader" {
		t.Errorf("no leader: %d %q", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/status/leader", ""); got.status != 500 || got.body != "No cluster leader" {
		t.Errorf("leader: %d %q", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/jobs?stale", ""); got.status != 200 || got.header.Get("X-Nomad-KnownLeader") != "false" || got.header.Get("X-Nomad-LastContact") != "7" {
		t.Errorf("stale: %d %q %v", got.status, got.body, got.header)
	}
}

func TestElectionIsWaitedFor(t *testing.T) {
	fake := newFakeServer()
	fake.leads.Store(false)
	fake.leader.Store(nil)
	fake.register = func(*structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		return &structs.JobRegisterResponse{EvalID: "e"}, nil
	}
	_, url := serve(t, door.Config{Server: fake})
	got := make(chan answer, 1)
	go func() { got <- ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web"}}`) }()
	fake.leads.Store(true)
	if a := <-got; a.status != 200 {
		t.Errorf("%d %q", a.status, a.body)
	}
}

func TestForwardingEndsInLoops(t *testing.T) {
	one := newFakeServer()
	one.leads.Store(false)
	a, err := New(door.Config{Server: one, Region: "global"})
	if err != nil {
		t.Fatal(err)
	}
	one.forward = to(t, a.Inside()) // it believes that another leads, and that one is itself
	url := listen(t, a)
	if got := ask(t, "GET", url+"/v1/jobs", ""); got.status != 500 || got.body != "No cluster leader" {
		t.Errorf("%d %q", got.status, got.body)
	}
}

// recovering is a leader's address at which nobody answers for a while.
type recovering struct {
	failures atomic.Int32
	to       http.RoundTripper
}

func (r *recovering) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	return r.to.RoundTrip(req)
}

func TestRequestsOutliveALeader(t *testing.T) {
	follower, leader, url := pair(t)
	calls := 0
	leader.register = func(req *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		calls++
		return &structs.JobRegisterResponse{EvalID: req.Job.GetID()}, nil
	}
	slow := &recovering{to: follower.forward}
	slow.failures.Store(3)
	follower.forward = slow
	if got := ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web"}}`); got.status != 200 || !strings.Contains(got.body, `"EvalID":"web"`) || calls != 1 {
		t.Errorf("%d %q, %d calls", got.status, got.body, calls)
	}
}

// halfway is a leader that dies after it has read a request.
type halfway struct{ tries atomic.Int32 }

func (h *halfway) RoundTrip(req *http.Request) (*http.Response, error) {
	h.tries.Add(1)
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
	return nil, io.ErrUnexpectedEOF
}

func TestWritesAreNotSaidTwice(t *testing.T) {
	fake := newFakeServer()
	fake.leads.Store(false)
	dying := &halfway{}
	fake.forward = dying
	_, url := serve(t, door.Config{Server: fake})
	if got := ask(t, "PUT", url+"/v1/jobs", `{"Job":{"ID":"web"}}`); got.status != 500 || got.body != "No cluster leader" || dying.tries.Load() != 1 {
		t.Errorf("%d %q after %d tries", got.status, got.body, dying.tries.Load())
	}
}

func TestDeadLeaderIsNoLeader(t *testing.T) {
	fake := newFakeServer()
	fake.leads.Store(false)
	fake.forward = failing{}
	_, url := serve(t, door.Config{Server: fake})
	if got := ask(t, "GET", url+"/v1/jobs", ""); got.status != 500 || got.body != "No cluster leader" {
		t.Errorf("%d %q", got.status, got.body)
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("connection refused")
}

func TestAgentsWithoutServerAskOne(t *testing.T) {
	leader := newFakeServer()
	leading, err := New(door.Config{Server: leader, Region: "global"})
	if err != nil {
		t.Fatal(err)
	}
	_, url := serve(t, door.Config{Upstream: to(t, leading.Inside())})
	if got := ask(t, "GET", url+"/v1/regions", ""); got.status != 200 || got.body != `["global"]` {
		t.Errorf("%d %q", got.status, got.body)
	}
	if got := ask(t, "PUT", url+"/v1/agent/join?address=x", ""); got.status != 501 {
		t.Errorf("join: %d %q", got.status, got.body)
	}
}

func TestOtherRegions(t *testing.T) {
	far := newFakeServer()
	there, err := New(door.Config{Server: far, Region: "far"})
	if err != nil {
		t.Fatal(err)
	}
	_, url := serve(t, door.Config{Server: newFakeServer(), Regions: regions{"far": to(t, there.Inside())}})
	if got := ask(t, "GET", url+"/v1/status/peers?region=far", ""); got.status != 200 {
		t.Errorf("far: %d %q", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/jobs?region=nowhere", ""); got.status != 500 || got.body != "No path to region" {
		t.Errorf("nowhere: %d %q", got.status, got.body)
	}
}

type regions map[string]http.RoundTripper

func (r regions) RegionTransport(name string) (http.RoundTripper, error) {
	if t := r[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no server of region %s is known", name)
}

// fakeNode is this agent's node.
type fakeNode struct {
	id      string
	allocs  map[string]bool
	handler http.Handler
}

func (n fakeNode) NodeID() string          { return n.id }
func (n fakeNode) HasAlloc(id string) bool { return n.allocs[id] }
func (n fakeNode) Handler() http.Handler   { return n.handler }

const (
	someAlloc = "6f1c9a52-1111-4222-8333-94a5b6c7d8e9"
	someNode  = "0a0b0c0d-1111-4222-8333-94a5b6c7d8e9"
)

func TestOwnNodeAnswersItself(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	_, url := serve(t, door.Config{Server: newFakeServer(), Node: fakeNode{someNode, map[string]bool{someAlloc: true}, h}})
	for path, want := range map[string]string{
		"/v1/client/fs/ls/" + someAlloc:                 "/v1/client/fs/ls/" + someAlloc,
		"/v1/allocation/" + someAlloc + "/checks":       "/v1/client/allocation/" + someAlloc + "/checks",
		"/v1/client/stats":                              "/v1/client/stats",
		"/v1/client/stats?node_id=" + someNode:          "/v1/client/stats",
		"/v1/client/allocation/" + someAlloc + "/stats": "/v1/client/allocation/" + someAlloc + "/stats",
	} {
		if got := ask(t, "GET", url+path, ""); got.status != 200 || got.body != want {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	other := strings.Replace(someAlloc, "6", "7", 1)
	if got := ask(t, "GET", url+"/v1/client/fs/ls/"+other, ""); got.status != 404 || !strings.Contains(got.body, "Unknown allocation") {
		t.Errorf("unknown: %d %q", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/client/stats?node_id="+other, ""); got.status != 404 || !strings.Contains(got.body, "Unknown node") {
		t.Errorf("unknown: %d %q", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/client/fs/ls/short", ""); got.status != 500 || !strings.Contains(got.body, "UUID must be 36 characters") {
		t.Errorf("short: %d %q", got.status, got.body)
	}
}

// TestSessionsGoThrough opens a websocket and a stream through an agent that
// has neither server nor the allocation: agent, server, node.
func TestSessionsGoThrough(t *testing.T) {
	node := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/exec") {
			echo(t, w, r)
			return
		}
		ctl := http.NewResponseController(w)
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "%d\n", i)
			_ = ctl.Flush()
		}
		<-r.Context().Done()
	})
	srv := newFakeServer()
	server, err := New(door.Config{Server: srv, Region: "global", Node: fakeNode{someNode, map[string]bool{someAlloc: true}, node}})
	if err != nil {
		t.Fatal(err)
	}
	_, url := serve(t, door.Config{Upstream: to(t, server.Inside())})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	conn, resp, err := websocket.Dial(ctx, url+"/v1/client/allocation/"+someAlloc+"/exec?command=[]", nil)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, resp)
	}
	for _, text := range []string{"one", "two"} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != text {
			t.Fatalf("echo %q: %v", got, err)
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}

	stream, stop := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(stream, "GET", url+"/v1/client/fs/logs/"+someAlloc+"?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(logs.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprint(i) {
			t.Fatalf("line %d: %q %v", i, lines.Text(), lines.Err())
		}
	}
	stop()
	_ = logs.Body.Close()
}

func echo(t *testing.T, w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		t.Error(err)
		return
	}
	for {
		kind, text, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if conn.Write(r.Context(), kind, text) != nil {
			return
		}
	}
}

func TestHangingUpReachesTheOtherEnd(t *testing.T) {
	gone := make(chan struct{})
	node := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	_, url := serve(t, door.Config{Upstream: to(t, node)})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/event/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = resp.Body.Close()
	testx.Eventually(t, 5*time.Second, "the far end notices", func() bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
}

func TestNodesAreReachedThroughTheServer(t *testing.T) {
	fake := newFakeServer()
	node := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "node at "+r.URL.Path) })
	fake.nodes = map[string]http.RoundTripper{someNode: to(t, node)}
	away := strings.Replace(someNode, "0a", "1a", 1)
	for i, id := range []string{someNode, away} {
		fake.store.Apply(uint64(i+1), &command.RegisterNode{Node: &structs.Node{ID: id, Name: id, NodePool: "default", Status: "ready"}})
	}
	_, url := serve(t, door.Config{Server: fake})
	if got := ask(t, "GET", url+"/v1/client/stats?node_id="+someNode, ""); got.status != 200 || got.body != "node at /v1/client/stats" {
		t.Errorf("%d %q", got.status, got.body)
	}
	if got := ask(t, "GET", url+"/v1/client/stats?node_id="+away, ""); got.status != 404 || !strings.Contains(got.body, "No path to node") {
		t.Errorf("%d %q", got.status, got.body)
	}
}

// eventBeat is how often a silent event stream shows that it lives.
const eventBeat = 10 * time.Second

func TestSilentEventStreamsBeat(t *testing.T) {
	fake := newFakeServer()
	time := clock.NewManual(clock.Real{}.Now())
	_, url := serve(t, door.Config{Server: fake, Clock: time})
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/event/stream?topic=Node:"+someNode, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for range 2 {
		testx.Eventually(t, 5e9, "the stream waits", func() bool { _, waits := time.Next(); return waits })
		time.Advance(eventBeat)
		if !lines.Scan() || lines.Text() != "{}" {
			t.Fatalf("%q %v", lines.Text(), lines.Err())
		}
	}
	fake.store.Apply(1, &command.RegisterNode{Node: &structs.Node{ID: someAlloc, Name: "other", SecretID: "s3cret"}})
	fake.store.Apply(2, &command.RegisterNode{Node: &structs.Node{ID: someNode, Name: "one", SecretID: "s3cret"}})
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"Index":2,"Events":[{"Topic":"Node","Type":"NodeRegistration","Key":"`+someNode) || strings.Contains(lines.Text(), "s3cret") {
		t.Errorf("%q %v", lines.Text(), lines.Err())
	}
}
