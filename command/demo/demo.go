// Package demo is a small web service inside the binary, so that the first
// job a newcomer runs needs no image, no network and no compiler. It can be
// made to fail in the ways that a scheduler must heal.
//
// It must not know anything of the cluster: all it shows comes from its
// environment, as for any task. Begin reading at Run.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
)

// slowAnswer is how long /slow takes.
const slowAnswer = 10 * time.Second

// Service is one instance of the demo.
type Service struct {
	getenv    func(string) string
	clock     clock.Clock
	out       io.Writer
	unhealthy atomic.Bool
	crash     chan struct{}
}

// ErrCrashed is what Run returns after a request to /crash.
var ErrCrashed = errors.New("the demo service was asked to crash")

// New returns an instance that reads its facts with getenv and logs to out.
func New(getenv func(string) string, out io.Writer) *Service {
	return &Service{getenv: getenv, clock: clock.Real{}, out: out, crash: make(chan struct{}, 1)}
}

// Run listens on the port labelled "http" (NOMAD_PORT_http, 8080 outside a
// job) until ctx ends, which is a clean end, or /crash is asked for.
func (s *Service) Run(ctx context.Context) error {
	port := s.getenv("NOMAD_PORT_http")
	if port == "" {
		port = "8080"
	}
	// In a network of the allocation's own, the node's address is another's.
	addr := net.JoinHostPort(cmp.Or(s.getenv("NOMAD_ALLOC_IP_http"), s.getenv("NOMAD_IP_http")), port)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the demo service: %w", err)
	}
	_, _ = fmt.Fprintf(s.out, "demo service listens on %s\n", listener.Addr()) // a lost log line changes nothing
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second}
	group := loop.New(ctx)
	group.Go("serve", func(context.Context) error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go("end", func(ctx context.Context) error {
		var err error
		select {
		case <-ctx.Done():
		case <-s.crash:
			err = ErrCrashed
		}
		return errors.Join(err, server.Close())
	})
	return group.Wait()
}

// Handler returns the pages.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("/unhealthy", s.sicken)
	mux.HandleFunc("/crash", s.end)
	mux.HandleFunc("GET /slow", s.slow)
	return mux
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<meta charset="utf-8"><title>{{.Job}} {{.Index}}</title>
<style>body{font:16px system-ui;margin:4rem auto;max-width:40rem}td{padding:.2rem 1rem .2rem 0}code{font-size:15px}</style>
<h1>Hello from {{.Name}}</h1>
<table>
<tr><td>allocation<td><code>{{.Alloc}}</code>
<tr><td>node<td><code>{{.Node}}</code>
<tr><td>datacenter<td><code>{{.Datacenter}}</code>
<tr><td>version<td><code>{{.Version}}</code>
</table>
<p><a href="/health">/health</a> · <a href="/unhealthy">/unhealthy</a> · <a href="/crash">/crash</a> · <a href="/slow">/slow</a>
`))

func (s *Service) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := pageTemplate.Execute(w, map[string]string{
		"Name": s.getenv("NOMAD_ALLOC_NAME"), "Job": s.getenv("NOMAD_JOB_NAME"), "Index": s.getenv("NOMAD_ALLOC_INDEX"),
		"Alloc": s.getenv("NOMAD_ALLOC_ID"), "Node": s.getenv("DEMO_NODE"), "Datacenter": s.getenv("NOMAD_DC"),
		"Version": s.getenv("DEMO_VERSION"),
	})
	if err != nil {
		_, _ = fmt.Fprintf(s.out, "write page: %v\n", err) // the reader left
	}
}

func (s *Service) health(w http.ResponseWriter, _ *http.Request) {
	if s.unhealthy.Load() {
		http.Error(w, "unhealthy, as asked", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "healthy\n") // the reader left
}

func (s *Service) sicken(w http.ResponseWriter, _ *http.Request) {
	s.unhealthy.Store(true)
	_, _ = fmt.Fprintln(s.out, "unhealthy from now on")
	_, _ = io.WriteString(w, "/health fails from now on\n")
}

func (s *Service) end(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintln(s.out, "crash, as asked")
	_, _ = io.WriteString(w, "crashing\n")
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	select {
	case s.crash <- struct{}{}:
	default:
	}
}

func (s *Service) slow(w http.ResponseWriter, r *http.Request) {
	timer := s.clock.NewTimer(slowAnswer)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
	case <-timer.C():
		_, _ = io.WriteString(w, "slow, but here\n")
	}
}
