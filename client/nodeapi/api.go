// Package nodeapi is the node's own part of the HTTP API, /v1/client/*: files
// and logs of allocations, commands inside of tasks, their usage, and the
// node's own statistics.
//
// Who may ask is decided before a request comes here. The package must not
// know servers; it sees the allocations of the node and its directories.
//
// Begin reading at New.
package nodeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/allocdir"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

// maxBody is the most that a request may carry.
const maxBody = 1 << 20

// Node is what the handlers need of the node.
type Node interface {
	// Alloc returns the runner of an allocation, or nil.
	Alloc(id string) *alloc.Runner
	// CollectAll removes every finished allocation; CollectOne the one named.
	CollectAll()
	CollectOne(id string) error
	// Metadata returns the node's metadata; ApplyMetadata changes what is set
	// at run time (nil unsets a key) and returns the result.
	Metadata() (*structs.NodeMetaResponse, error)
	ApplyMetadata(changes map[string]*string) (*structs.NodeMetaResponse, error)
}

// Config is what the handlers work with.
type Config struct {
	Node   Node
	Checks func(allocID string) map[string]*structs.AllocCheckStatus
	// AllocDir is measured for the node's statistics.
	AllocDir string
	// CPU is how much the node has, in MHz.
	CPU         func() int
	DisableExec bool
	Clock       clock.Clock
	Logger      *slog.Logger
}

// api serves the routes.
type api struct {
	Config
	usage    *usage
	forwards chan struct{} // one for each port that is being forwarded
}

// New makes the handler.
func New(cfg Config) http.Handler {
	a := &api{Config: cfg, usage: newUsage(cfg.Clock), forwards: make(chan struct{}, maxForwards)}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/client/fs/ls/{alloc}", a.handle(a.list))
	mux.HandleFunc("/v1/client/fs/stat/{alloc}", a.handle(a.stat))
	mux.HandleFunc("/v1/client/fs/cat/{alloc}", a.raw(a.cat))
	mux.HandleFunc("/v1/client/fs/readat/{alloc}", a.raw(a.readAt))
	mux.HandleFunc("/v1/client/fs/stream/{alloc}", a.handle(a.stream))
	mux.HandleFunc("/v1/client/fs/logs/{alloc}", a.handle(a.logs))
	mux.HandleFunc("/v1/client/allocation/{alloc}/stats", a.handle(a.allocStats))
	mux.HandleFunc("/v1/client/allocation/{alloc}/checks", a.handle(a.checks))
	mux.HandleFunc("/v1/client/allocation/{alloc}/exec", a.handle(a.exec))
	mux.HandleFunc("/v1/steppe/allocation/{alloc}/forward", a.handle(a.forward))
	mux.HandleFunc("/v1/client/allocation/{alloc}/restart", a.handle(a.restart))
	mux.HandleFunc("/v1/client/allocation/{alloc}/signal", a.handle(a.signal))
	mux.HandleFunc("/v1/client/allocation/{alloc}/gc", a.handle(a.collectOne))
	mux.HandleFunc("/v1/client/allocation/{alloc}/snapshot", a.handle(a.snapshot))
	mux.HandleFunc("/v1/client/allocation/{alloc}/pause", notBuilt("task schedules"))
	mux.HandleFunc("/v1/client/identity", notBuilt("node identities"))
	mux.HandleFunc("/v1/client/identity/renew", notBuilt("node identities"))
	mux.HandleFunc("/v1/client/stats", a.handle(a.hostStats))
	mux.HandleFunc("/v1/client/metadata", a.handle(a.metadata))
	mux.HandleFunc("/v1/client/gc", a.handle(a.collectAll))
	return mux
}

// failure is an error with the HTTP status it is told with.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(status int, format string, args ...any) error {
	return &failure{status, fmt.Errorf(format, args...)}
}

func bad(format string, args ...any) error { return fail(http.StatusBadRequest, format, args...) }

// statusOf finds the HTTP status of an error.
func statusOf(err error) int {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f.status
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, alloc.ErrUnknownTask):
		return http.StatusNotFound
	case errors.Is(err, allocdir.ErrHidden), errors.Is(err, allocdir.ErrUnsafe):
		return http.StatusForbidden
	case errors.Is(err, fs.ErrInvalid):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// handle answers with an error's status and text, as long as nothing was
// written yet.
func (a *api) handle(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tracked := &tracker{ResponseWriter: w}
		err := f(tracked, r)
		if err == nil || tracked.wrote {
			return
		}
		http.Error(w, err.Error(), statusOf(err))
	}
}

// raw tells errors as text with status 200: that is how these routes are
// known to behave.
func (a *api) raw(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tracked := &tracker{ResponseWriter: w}
		err := f(tracked, r)
		if err == nil || tracked.wrote {
			return
		}
		http.Error(w, err.Error(), http.StatusOK)
	}
}

// tracker knows whether the answer has begun.
type tracker struct {
	http.ResponseWriter
	wrote bool
}

func (t *tracker) WriteHeader(status int) {
	t.wrote = true
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracker) Write(p []byte) (int, error) {
	t.wrote = true
	return t.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (t *tracker) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func notBuilt(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, structs.NotBuilt(what).Error(), http.StatusNotImplemented)
	}
}

func answer(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

// read decodes a JSON body; an empty one leaves into as it is.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	if r.Body == nil || r.ContentLength == 0 {
		return nil
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into); err != nil {
		return bad("decode request: %w", err)
	}
	return nil
}

// find returns the runner of the allocation that the path names.
func (a *api) find(r *http.Request) (*alloc.Runner, error) {
	id := r.PathValue("alloc")
	if id == "" {
		return nil, bad("allocation id is missing")
	}
	runner := a.Node.Alloc(id)
	if runner == nil {
		return nil, fail(http.StatusNotFound, "Unknown allocation %q", id)
	}
	return runner, nil
}

// query reads a parameter by parse; an absent one is fallback.
func query[T any](r *http.Request, name string, fallback T, parse func(string) (T, error)) (T, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	value, err := parse(text)
	if err != nil {
		return fallback, bad("parameter %s: %q can't be read", name, text)
	}
	return value, nil
}

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
