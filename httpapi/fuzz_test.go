package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// FuzzReads proves that no path and no query makes a handler panic.
func FuzzReads(f *testing.F) {
	for _, row := range Routes() {
		if row.Built() && row.Accepts("GET") {
			f.Add(example(plain(row.Path)), "namespace=*&per_page=1&next_token=3.x&reverse=true&filter=ID+is+empty")
			f.Add(example(plain(row.Path)), "index=1&wait=1ns&prefix=6f&stale&all=1&diffs=true&diff_version=0&related=1")
		}
	}
	fake := newFakeServer()
	job := &structs.Job{ID: ptr("web"), TaskGroups: []*structs.TaskGroup{{Name: ptr("g"), Tasks: []*structs.Task{{Name: "t", Driver: "mock"}}}}}
	job.Canonicalize()
	fake.store.Apply(1, &command.RegisterNode{Node: &structs.Node{ID: someNode, Name: "one", NodePool: "default"}})
	fake.store.Apply(2, &command.RegisterJob{Job: job, Eval: &structs.Evaluation{ID: someAlloc, JobID: "web", Namespace: "default", Status: "pending"}})
	a, err := New(door.Config{Server: fake, Region: "global", Agent: &fakeAgent{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = path, query
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code == 500 && strings.HasPrefix(w.Body.String(), "Internal error") {
			t.Fatalf("GET %s?%s: %s", path, query, w.Body)
		}
	})
}

// FuzzBodies proves that no body makes a handler panic.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{`{}`, `null`, `{"Job":{"ID":"web","TaskGroups":[null]}}`, `{"Job":null}`, `{"Prefix":"w"}`, `{"Text":"we"}`, `{"JobHCL":"job \"x\" {}"}`, `{"Jobs":[{"ID":"web"}]}`} {
		for _, path := range []string{"/v1/jobs", "/v1/search", "/v1/search/fuzzy", "/v1/jobs/parse", "/v1/jobs/statuses"} {
			f.Add(path, body)
		}
	}
	fake := newFakeServer()
	fake.register = func(req *structs.JobRegisterRequest) (*structs.JobRegisterResponse, error) {
		req.Job.Canonicalize()
		if err := req.Job.Validate(); err != nil {
			return nil, err
		}
		return &structs.JobRegisterResponse{}, nil
	}
	a, err := New(door.Config{Server: fake, Region: "global"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		switch path {
		case "/v1/jobs", "/v1/search", "/v1/search/fuzzy", "/v1/jobs/parse", "/v1/jobs/statuses":
		default:
			return // what the fake server can't do
		}
		r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
		r.Host = "localhost"
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code == 500 && strings.HasPrefix(w.Body.String(), "Internal error") {
			t.Fatalf("POST %s %q: %s", path, body, w.Body)
		}
	})
}
