package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent answers requests with h and returns a client of it.
func agent(t *testing.T, cfg Config, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg.Address = s.URL
	return client(t, cfg)
}

func client(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestQueriesSayWhatTheCallerWants(t *testing.T) {
	var got *http.Request
	c := agent(t, Config{Region: "far", Namespace: "team", Token: "secret"}, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("X-Nomad-Index", "42")
		w.Header().Set("X-Nomad-KnownLeader", "true")
		w.Header().Set("X-Nomad-LastContact", "15")
		w.Header().Set("X-Nomad-NextToken", "more")
		_, _ = io.WriteString(w, "[]")
	})
	_, meta, err := c.Jobs(t.Context(), &Query{
		Namespace: "*", Stale: true, WaitIndex: 7, WaitTime: time.Minute, Prefix: "w", PerPage: 3, NextToken: "t",
		Filter: `ID == "x"`, Reverse: true, Params: map[string]string{"meta": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "filter=ID+%3D%3D+%22x%22&index=7&meta=true&namespace=%2A&next_token=t&per_page=3&prefix=w&region=far&reverse=true&stale=&wait=1m0s"
	if got.URL.RawQuery != want || got.Header.Get("X-Nomad-Token") != "secret" {
		t.Errorf("asked %s %v", got.URL.RawQuery, got.Header)
	}
	if *meta != (Meta{Index: 42, KnownLeader: true, LastContact: 15 * time.Millisecond, NextToken: "more"}) {
		t.Errorf("meta %+v", meta)
	}
	if _, _, err := c.Job(t.Context(), "team/web app", nil); err != nil {
		var kind *json.UnmarshalTypeError
		if !errors.As(err, &kind) {
			t.Fatal(err)
		}
	}
	if got.URL.EscapedPath() != "/v1/job/team%2Fweb%20app" || got.URL.Query().Get("namespace") != "team" {
		t.Errorf("asked %s", got.URL)
	}
}

func TestRefusalsKeepCodeAndText(t *testing.T) {
	c := agent(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "job not found", 404) })
	_, _, err := c.Job(t.Context(), "x", nil)
	var refused *StatusError
	if !errors.As(err, &refused) || refused.Code != 404 || err.Error() != "Unexpected response code: 404 (job not found)" {
		t.Errorf("%v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := client(t, Config{Address: "127.0.0.1:1"})
	_, err := c.Leader(t.Context())
	var connect *ConnectError
	if !errors.As(err, &connect) || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("%v", err)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, addr := range []string{"ftp://x", "http://", ":::"} {
		if _, err := New(Config{Address: addr}); err == nil {
			t.Errorf("%q is taken", addr)
		}
	}
	if _, err := New(Config{Address: "https://x", TLS: TLSConfig{CACert: filepath.Join(t.TempDir(), "none")}}); err == nil {
		t.Error("a certificate authority that doesn't exist is taken")
	}
}

func TestEnvironment(t *testing.T) {
	env := map[string]string{"NOMAD_ADDR": "a", "STEPPE_ADDR": "b", "NOMAD_TOKEN": "t", "NOMAD_SKIP_VERIFY": "1", "STEPPE_NAMESPACE": "n"}
	cfg := FromEnv(func(name string) string { return env[name] })
	if cfg.Address != "b" || cfg.Token != "t" || !cfg.TLS.Insecure || cfg.Namespace != "n" {
		t.Errorf("%+v", cfg)
	}
}

func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `"10.0.0.1:4647"`)
	})}}
	s.Start()
	t.Cleanup(s.Close)
	c := client(t, Config{Address: "unix://" + path})
	if leader, err := c.Leader(t.Context()); err != nil || leader != "10.0.0.1:4647" {
		t.Errorf("%q %v", leader, err)
	}
}

func TestFramesWithoutHeartbeats(t *testing.T) {
	c := agent(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/client/fs/logs/abc" || r.URL.Query().Get("type") != "stderr" || r.URL.Query().Get("follow") != "true" {
			t.Errorf("asked %s", r.URL)
		}
		_, _ = io.WriteString(w, `{}{"Offset":2,"Data":"aGk="}{}{"FileEvent":"file truncated"}`)
	})
	var data []string
	err := c.Logs(t.Context(), "abc", "web", "stderr", StreamOptions{Follow: true}, func(f *structs.StreamFrame) error {
		data = append(data, string(f.Data)+f.FileEvent)
		return nil
	})
	if err != nil || strings.Join(data, ",") != "hi,file truncated" {
		t.Errorf("%q %v", data, err)
	}
	stop := errors.New("enough")
	err = c.Logs(t.Context(), "abc", "web", "stderr", StreamOptions{Follow: true}, func(*structs.StreamFrame) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestSickAgentsAreHeard(t *testing.T) {
	c := agent(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, `{"server":{"ok":false,"message":"no leader"}}`)
	})
	h, err := c.AgentHealth(t.Context())
	if err != nil || h.Server == nil || h.Server.Ok || h.Server.Message != "no leader" || h.Client != nil {
		t.Errorf("%+v %v", h, err)
	}
}

func TestExecCarriesInputOutputAndCode(t *testing.T) {
	c := agent(t, Config{Token: "s"}, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/v1/client/allocation/abc/exec" || q.Get("task") != "web" || q.Get("command") != `["cat","-"]` || r.Header.Get("X-Nomad-Token") != "s" {
			t.Errorf("asked %s", r.URL)
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			var in structs.ExecStreamingInput
			if err := wsjson.Read(r.Context(), conn, &in); err != nil {
				t.Error(err)
				return
			}
			out := structs.ExecStreamingOutput{}
			if in.Stdin != nil && len(in.Stdin.Data) > 0 {
				out.Stdout = &structs.ExecStreamingIOOperation{Data: in.Stdin.Data}
			}
			if in.Stdin != nil && in.Stdin.Close {
				out.Exited, out.Result = true, &structs.ExecStreamingExitResult{ExitCode: 3}
			}
			if err := wsjson.Write(r.Context(), conn, out); err != nil {
				t.Error(err)
				return
			}
			if out.Exited {
				_ = conn.Close(websocket.StatusNormalClosure, "")
				return
			}
		}
	})
	var out strings.Builder
	code, err := c.Exec(t.Context(), ExecOptions{
		AllocID: "abc", Task: "web", Command: []string{"cat", "-"}, Stdin: strings.NewReader("hello"), Stdout: &out,
	}, nil)
	if err != nil || code != 3 || out.String() != "hello" {
		t.Errorf("%d %q %v", code, out.String(), err)
	}
}

func TestExecRefusals(t *testing.T) {
	c := agent(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Unknown allocation", 404) })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := c.Exec(ctx, ExecOptions{AllocID: "abc", Task: "web", Command: []string{"true"}}, nil)
	var refused *StatusError
	if !errors.As(err, &refused) || refused.Code != 404 {
		t.Errorf("%v", err)
	}
}
