package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link/certs"
)

const (
	// handshakeTimeout ends connections that don't say who they are.
	handshakeTimeout = 5 * time.Second
	// backlog is how many connections of one use may wait for their owner.
	backlog = 256
	// keepAlive tells that a peer's machine is gone.
	keepAlive = 30 * time.Second
)

// Mux is one TCP port whose connections are told apart by ALPN.
type Mux struct {
	tls    *certs.TLS
	log    *slog.Logger
	socket net.Listener
	crowd  *crowd

	mu        sync.Mutex
	listeners map[string]*listener
}

// Listen binds addr. Connections are accepted once Run runs.
func Listen(addr string, t *certs.TLS, log *slog.Logger) (*Mux, error) {
	socket, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &Mux{tls: t, log: log, socket: socket, crowd: &crowd{byHost: map[string]int{}}, listeners: map[string]*listener{}}, nil
}

// LimitPerClient bounds how many connections one machine may have at a time;
// 0 is no bound. It must be called before Run.
func (m *Mux) LimitPerClient(n int) { m.crowd.limit = n }

// Addr is the bound address.
func (m *Mux) Addr() net.Addr { return m.socket.Addr() }

// Close gives the port back without running. After Run it does nothing.
func (m *Mux) Close() error { return m.socket.Close() }

// Listener delivers the connections of one use. It must be called before Run;
// connections of a use nobody listens to are refused in the handshake.
func (m *Mux) Listener(alpn string) net.Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.listeners[alpn]; l != nil {
		return l
	}
	l := &listener{addr: m.Addr(), conns: make(chan net.Conn, backlog), closed: make(chan struct{})}
	m.listeners[alpn] = l
	return l
}

// Run accepts connections until ctx ends, then closes the port and its
// listeners. Connections that were delivered belong to whom they went to.
func (m *Mux) Run(ctx context.Context) error {
	group := loop.New(ctx)
	config := m.tls.ServerConfig(roleFor, m.uses()...)
	group.Go("accept connections", func(ctx context.Context) error { return m.accept(ctx, group, config) })
	group.Go("close port", func(ctx context.Context) error {
		<-ctx.Done()
		return m.socket.Close()
	})
	err := group.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.listeners {
		_ = l.Close() // never fails
	}
	return err
}

func (m *Mux) uses() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	uses := make([]string, 0, len(m.listeners))
	for alpn := range m.listeners {
		uses = append(uses, alpn)
	}
	slices.Sort(uses)
	return uses
}

func (m *Mux) accept(ctx context.Context, group *loop.Group, config *tls.Config) error {
	for {
		raw, err := m.socket.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if !temporary(err) {
				return err
			}
			pause(ctx, 50*time.Millisecond) // no descriptor left, perhaps
			continue
		}
		conn, ok := m.crowd.admit(raw)
		if !ok {
			m.log.Warn("connection dropped: the machine has too many", logx.KeyAddr, raw.RemoteAddr().String())
			_ = raw.Close() // nobody has seen it
			continue
		}
		group.Go("greet connection", func(ctx context.Context) error {
			m.greet(ctx, tls.Server(conn, config))
			return nil
		})
	}
}

// temporary reports whether accepting failed for this one connection only.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := clock.Real{}.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// greet does the handshake and hands the connection over.
func (m *Mux) greet(ctx context.Context, conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		m.log.Debug("connection refused", logx.KeyAddr, conn.RemoteAddr().String(), logx.KeyError, err)
		_ = conn.Close() // it was of no use
		return
	}
	m.mu.Lock()
	l := m.listeners[conn.ConnectionState().NegotiatedProtocol]
	m.mu.Unlock()
	if l == nil || !l.deliver(secured{conn}) {
		m.log.Warn("connection dropped: too many wait", logx.KeyAddr, conn.RemoteAddr().String())
		_ = conn.Close() // nobody has seen it
	}
}

// Dial connects to a server of the region for one use.
func Dial(ctx context.Context, addr string, t *certs.TLS, alpn string) (net.Conn, error) {
	dialer := &tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 10 * time.Second, KeepAlive: keepAlive},
		Config:    t.ClientConfig(alpn),
	}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to server %s: %w", addr, err)
	}
	return conn, nil
}

// secured is a connection that came through a Mux. It is a type of its own
// because net/http closes a *tls.Conn whose ALPN name it doesn't know.
type secured struct{ *tls.Conn }

// PeerRole tells what the other side of a connection that came through a Mux
// may be.
func PeerRole(t *certs.TLS, conn net.Conn) (certs.Role, error) {
	c, ok := conn.(secured)
	if !ok {
		return "", errors.New("the connection shows no certificate")
	}
	return t.PeerRole(c.ConnectionState())
}

// roleFor is what a caller must be for a use.
func roleFor(alpn string) certs.Role {
	if alpn == ALPNRaft {
		return certs.RoleServer
	}
	return certs.RoleClient
}

// listener delivers connections that were accepted elsewhere.
type listener struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}

	mu   sync.Mutex // nothing is delivered after done
	done bool
}

func (l *listener) deliver(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return false
	}
	select {
	case l.conns <- c:
		return true
	default:
		return false
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; connections that still wait are closed.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.done {
		l.done = true
		close(l.closed)
	}
	for {
		select {
		case c := <-l.conns:
			_ = c.Close() // nobody has seen it
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }
