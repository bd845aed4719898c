package link

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
)

// Mux is one TCP port whose connections are told apart by ALPN.
type Mux struct{}

// Listen binds addr. Connections are accepted once Run runs.
func Listen(addr string, t *TLS, log *slog.Logger) (*Mux, error) {
	return nil, errors.New("listen: not written yet")
}

// Addr is the bound address.
func (m *Mux) Addr() net.Addr { return nil }

// Listener delivers the connections of one use. It must be called before Run;
// connections of a use nobody listens to are refused in the handshake.
func (m *Mux) Listener(alpn string) net.Listener { return nil }

// Run accepts connections until ctx ends, then closes the port and its
// listeners.
func (m *Mux) Run(ctx context.Context) error { return errors.New("run mux: not written yet") }

// Dial connects to a server of the region for one use.
func Dial(ctx context.Context, addr string, t *TLS, alpn string) (net.Conn, error) {
	return nil, errors.New("dial: not written yet")
}

// HTTPTransport sends HTTP/1.1 requests, upgrades included, to the server at
// addr whatever the request's URL names. Close its idle connections when done.
func HTTPTransport(addr string, t *TLS) *http.Transport { return &http.Transport{} }
