package demo

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return rec.Code, rec.Body.String()
}

func TestHealthFailsOnceAsked(t *testing.T) {
	env := map[string]string{"NOMAD_ALLOC_NAME": "hello.web[0]", "NOMAD_ALLOC_ID": "a1", "DEMO_VERSION": "<2>"}
	h := New(func(k string) string { return env[k] }, io.Discard).Handler()
	if code, _ := get(t, h, "/health"); code != http.StatusOK {
		t.Fatalf("health %d", code)
	}
	if code, body := get(t, h, "/"); code != http.StatusOK || !strings.Contains(body, "hello.web[0]") || !strings.Contains(body, "&lt;2&gt;") {
		t.Fatalf("page %d %s", code, body)
	}
	get(t, h, "/unhealthy")
	if code, _ := get(t, h, "/health"); code != http.StatusServiceUnavailable {
		t.Fatalf("health %d after /unhealthy", code)
	}
}

func TestCrashEndsTheProcessWithAnError(t *testing.T) {
	port := testx.FreePort(t, "127.0.0.1")
	env := map[string]string{"NOMAD_IP_http": "127.0.0.1", "NOMAD_PORT_http": strconv.Itoa(port)}
	done := make(chan error, 1)
	s := New(func(k string) string { return env[k] }, io.Discard)
	go func() { done <- s.Run(t.Context()) }()
	base := "http://" + net.JoinHostPort("127.0.0.1", env["NOMAD_PORT_http"])
	testx.Eventually(t, 5*time.Second, "the service answers", func() bool {
		resp, err := http.Get(base + "/health")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	})
	resp, err := http.Get(base + "/crash")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if err := <-done; !errors.Is(err, ErrCrashed) {
		t.Fatalf("Run() = %v", err)
	}
}
