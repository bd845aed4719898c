package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/steppe-run/steppe/internal/loop"
)

func TestForwardCarriesBothWays(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/steppe/allocation/a1/forward" || r.URL.Query().Get("port") != "http" {
			http.Error(w, "no such port", http.StatusNotFound)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // the client tells
		}
		defer func() { _ = conn.CloseNow() }() // the session is over
		for {
			_, data, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if len(data) == 0 {
				data = []byte("bye")
				_ = conn.Write(r.Context(), websocket.MessageBinary, data)
				_ = conn.Write(r.Context(), websocket.MessageBinary, nil)
				_, _, _ = conn.Read(r.Context()) // its close
				return
			}
			if err := conn.Write(r.Context(), websocket.MessageBinary, data); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	c, err := New(Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // nothing more comes
	group := loop.New(ctx)
	group.Go("forward", func(ctx context.Context) error {
		local, err := listener.Accept()
		if err != nil {
			return err
		}
		return c.Forward(ctx, "a1", "http", local, nil)
	})
	person, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = person.Close() }() // closed by the other side
	if _, err := io.WriteString(person, "hello "); err != nil {
		t.Fatal(err)
	}
	if err := person.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(person); err != nil || string(got) != "hello bye" {
		t.Errorf("%q, %v", got, err)
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	near, far := net.Pipe()
	defer func() { _ = far.Close() }() // closed by the other side
	if err := c.Forward(ctx, "a1", "nope", near, nil); err == nil {
		t.Error("a port that there isn't is forwarded")
	}
}
