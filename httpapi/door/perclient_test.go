package door

import (
	"context"
	"net"
	"net/http"
	"testing"
)

func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	go func() { ended <- Serve(ctx, PerClient(l, 2), h) }()
	get := func() (int, *http.Transport) {
		own := &http.Transport{}
		resp, err := (&http.Client{Transport: own}).Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode, own
	}
	first, a := get()
	second, b := get()
	third, c := get()
	if first != 204 || second != 204 || third != http.StatusTooManyRequests {
		t.Errorf("%d %d %d", first, second, third)
	}
	a.CloseIdleConnections()
	b.CloseIdleConnections()
	c.CloseIdleConnections()
	for range 100 { // the server notices soon
		status, own := get()
		own.CloseIdleConnections()
		if status == 204 {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("closed connections still count")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
