package replica

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// streamLayer is the network as the library wants it. It remembers the
// connections it let in, so that closing leaves none behind.
type streamLayer struct {
	net.Listener
	addr address
	dial Dialer

	once sync.Once
	done chan struct{} // closed when Raft wants no more connections

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// address is what a server advertises, wherever it listens.
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

func newStreamLayer(l net.Listener, addr string, dial Dialer) *streamLayer {
	return &streamLayer{Listener: l, addr: address(addr), dial: dial, conns: map[net.Conn]struct{}{}, done: make(chan struct{})}
}

// Addr implements net.Listener with the address that others are told.
func (s *streamLayer) Addr() net.Addr { return s.addr }

// Dial implements raft.StreamLayer.
func (s *streamLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.dial(ctx, string(addr))
}

// Close implements net.Listener.
func (s *streamLayer) Close() error {
	s.once.Do(func() { close(s.done) })
	return s.Listener.Close()
}

// Accept implements net.Listener.
func (s *streamLayer) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if errors.Is(err, net.ErrClosed) {
		<-s.done // the port closed first: Raft is about to be stopped too
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close() // nobody has seen it
		return nil, net.ErrClosed
	}
	s.conns[c] = struct{}{}
	return &trackedConn{Conn: c, layer: s}, nil
}

func (s *streamLayer) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close() // the peer notices
	}
	s.conns = nil
}

func (s *streamLayer) forget(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

type trackedConn struct {
	net.Conn
	layer *streamLayer
}

// Close implements net.Conn.
func (t *trackedConn) Close() error {
	t.layer.forget(t.Conn)
	return t.Conn.Close()
}
