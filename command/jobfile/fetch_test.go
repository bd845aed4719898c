package jobfile

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestFetch(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/web.hcl", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "job \"web\" {}\n") })
	mux.HandleFunc("/moved.hcl", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/web.hcl", http.StatusFound) })
	mux.HandleFunc("/local.hcl", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/hostname", http.StatusFound)
	})
	mux.HandleFunc("/huge.hcl", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.CopyN(w, zeros{}, maxSourceBytes+1) // the reader hangs up
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]string{"/web.hcl": "job \"web\" {}\n", "/moved.hcl": "job \"web\" {}\n"} {
		if got, err := fetch(t.Context(), server.URL+path); err != nil || got != want {
			t.Errorf("fetch %s = %q, %v", path, got, err)
		}
	}
	for address, want := range map[string]string{
		server.URL + "/none.hcl":              "404",
		server.URL + "/huge.hcl":              "larger than",
		server.URL + "/local.hcl":             "unsupported protocol",
		"file:///etc/hostname":                "only http:// and https://",
		"s3://bucket/web.hcl":                 "only http:// and https://",
		"http://":                             "only http:// and https://",
		"http://u:secret@127.0.0.1:1/web.hcl": "connect",
	} {
		_, err := fetch(t.Context(), address)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fetch %s: error %v, want %q in it", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fetch(ended, server.URL+"/web.hcl"); err == nil {
		t.Error("a cancelled fetch went on")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
