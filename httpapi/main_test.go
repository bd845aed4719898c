package httpapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// memberlist doesn't wait for a probe that is under way when it shuts down; the
// probe ends by itself within its timeout.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// fakeServer is a server of which tests say what it answers. What a test
// doesn't set up panics when it is asked.
type fakeServer struct {
	backend.Server
	store    *state.Store
	leads    atomic.Bool
	leader   atomic.Pointer[string]
	forward  http.RoundTripper
	nodes    map[string]http.RoundTripper
	register func(*structs.JobRegisterRequest) (*structs.JobRegisterResponse, error)
}

// newFakeServer returns a server that leads.
func newFakeServer() *fakeServer {
	f := &fakeServer{store: state.New(state.Options{})}
	f.leads.Store(true)
	own := "127.0.0.1:4647"
	f.leader.Store(&own)
	return f
}

func (f *fakeServer) Store() *server.Store                  { return f.store }
func (f *fakeServer) IsLeader() bool                        { return f.leads.Load() }
func (f *fakeServer) Leading() bool                         { return f.leads.Load() }
func (f *fakeServer) LeaderContact() time.Duration          { return 7 * time.Millisecond }
func (f *fakeServer) ConsistentIndex(context.Context) error { return nil }
func (f *fakeServer) ForwardTransport() http.RoundTripper   { return f.forward }
func (f *fakeServer) Regions() []string                     { return []string{"global"} }
func (f *fakeServer) Peers() ([]string, error)              { return []string{"127.0.0.1:4647"}, nil }

func (f *fakeServer) Members() []*structs.AgentMember { return nil }
func (f *fakeServer) RaftConfiguration() (*structs.RaftConfiguration, error) {
	return &structs.RaftConfiguration{}, nil
}

func (f *fakeServer) WhyJob(context.Context, string, string) (*structs.JobWhy, uint64, error) {
	return nil, 0, structs.ErrJobNotFound
}

func (f *fakeServer) WhyAlloc(context.Context, string) (*structs.AllocWhy, uint64, error) {
	return nil, 0, structs.ErrAllocNotFound
}

func (f *fakeServer) WhyNot(context.Context, string, string, string) (*structs.NodeWhyNot, uint64, error) {
	return nil, 0, structs.ErrNodeNotFound
}

func (f *fakeServer) DrainPlan(context.Context, string, structs.DrainSpec) (*structs.DrainPlan, uint64, error) {
	return nil, 0, structs.ErrNodeNotFound
}

func (f *fakeServer) History(context.Context, server.HistoryQuery) (*structs.HistoryPage, error) {
	return &structs.HistoryPage{}, nil
}

func (f *fakeServer) SaveState(context.Context) (*server.SavedState, error) {
	return nil, structs.ErrNoLeader
}

func (f *fakeServer) Brake() (*structs.BrakeStatus, uint64) { return &structs.BrakeStatus{}, 0 }

func (f *fakeServer) ReleaseBrake(context.Context) (*structs.BrakeReleaseResponse, uint64, error) {
	return &structs.BrakeReleaseResponse{}, 0, nil
}

func (f *fakeServer) Account(bool) (*structs.ServerFigures, error) {
	return &structs.ServerFigures{Allocations: 3}, nil
}

func (f *fakeServer) Leader() (string, bool) {
	if addr := f.leader.Load(); addr != nil {
		return *addr, true
	}
	return "", false
}

func (f *fakeServer) NodeTransport(id string) (http.RoundTripper, error) {
	if t := f.nodes[id]; t != nil {
		return t, nil
	}
	return nil, structs.NewError(structs.KindNotFound, "no session of node %s", id)
}

func (f *fakeServer) RegisterJob(_ context.Context, req *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
	return f.register(req)
}

// serve answers on a real socket until the test ends.
func serve(t *testing.T, cfg door.Config) (*door.API, string) {
	t.Helper()
	if cfg.Region == "" {
		cfg.Region = "global"
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, listen(t, a)
}

// listen serves a handler on loopback and returns its URL.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(ctx, l, h) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// answer is what a request got.
type answer struct {
	status int
	body   string
	header http.Header
}

// ask sends one request; header lines have the form "Name: value".
func ask(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(text), resp.Header}
}

// to is a transport that hands requests to a handler of another machine.
func to(t *testing.T, h http.Handler) http.RoundTripper {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
