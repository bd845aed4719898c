package link

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/steppe-run/steppe/link/certs"
)

// Peer is one connection of ALPNSession: either side may open streams on it.
// It is a net.Listener of the streams that the other side opens.
type Peer struct {
	streams *yamux.Session
	conn    net.Conn
	role    certs.Role
}

// AcceptPeer makes the server's end from a connection that a Mux delivered.
func AcceptPeer(conn net.Conn, t *certs.TLS) (*Peer, error) {
	role, err := PeerRole(t, conn)
	if err != nil {
		return nil, err
	}
	streams, err := yamux.Server(&frames{Conn: conn}, peerConfig())
	if err != nil {
		return nil, fmt.Errorf("begin session: %w", err)
	}
	return &Peer{streams: streams, conn: conn, role: role}, nil
}

// DialPeer connects to the session port of a server.
func DialPeer(ctx context.Context, addr string, t *certs.TLS) (*Peer, error) {
	conn, err := Dial(ctx, addr, t, ALPNSession)
	if err != nil {
		return nil, err
	}
	streams, err := yamux.Client(&frames{Conn: conn}, peerConfig())
	if err != nil {
		return nil, fmt.Errorf("begin session with %s: %w", addr, err)
	}
	return &Peer{streams: streams, conn: conn, role: certs.RoleServer}, nil
}

// peerConfig notices within some ten seconds that the other machine is gone.
func peerConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.KeepAliveInterval = 5 * time.Second
	c.ConnectionWriteTimeout = 10 * time.Second
	c.StreamOpenTimeout = 30 * time.Second
	c.MaxStreamWindowSize = 1 << 20
	c.LogOutput = io.Discard // what fails here, fails visibly above
	return c
}

// Role is what the other side's certificate entitles it to be.
func (p *Peer) Role() certs.Role { return p.role }

// RemoteAddr is the other side's address.
func (p *Peer) RemoteAddr() string { return p.conn.RemoteAddr().String() }

// Open opens a stream to the other side.
func (p *Peer) Open(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.streams.Open()
}

// Accept implements net.Listener.
func (p *Peer) Accept() (net.Conn, error) { return p.streams.Accept() }

// Close implements net.Listener: it ends the connection and all its streams.
func (p *Peer) Close() error { return p.streams.Close() }

// Addr implements net.Listener.
func (p *Peer) Addr() net.Addr { return p.streams.Addr() }

// Ping asks the other side for a sign of life and waits for it, until the
// connection is given up.
func (p *Peer) Ping() error {
	_, err := p.streams.Ping()
	return err
}

// Done is closed when the connection has ended.
func (p *Peer) Done() <-chan struct{} { return p.streams.CloseChan() }

// CallWindow is how much of one call, or of all calls over one stream, may be
// under way. It is said once for all: to find it out, gRPC would send a ping
// with every message and wait for the answer.
const CallWindow = 1 << 20

// Calls returns a gRPC connection over a stream of its own. TLS is below.
func (p *Peer) Calls() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///session",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.Open(ctx) }),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
		grpc.WithStaticStreamWindowSize(CallWindow), grpc.WithStaticConnWindowSize(CallWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
	)
}
