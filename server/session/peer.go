package session

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/link/linkpb"
)

// peers are this server's connections to other servers, made when needed.
type peers struct {
	tls *certs.TLS

	mu     sync.Mutex
	byAddr map[string]*otherServer
	closed bool
}

// otherServer is a connection to another server.
type otherServer struct {
	addr string
	peer *link.Peer
	conn *grpc.ClientConn
	node linkpb.NodeLinkClient
	link linkpb.PeerLinkClient
}

func newPeers(t *certs.TLS) *peers { return &peers{tls: t, byAddr: map[string]*otherServer{}} }

// get returns a connection to the server at addr.
func (p *peers) get(ctx context.Context, addr string) (*otherServer, error) {
	if o := p.alive(addr); o != nil {
		return o, nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	peer, err := link.DialPeer(ctx, addr, p.tls)
	if err != nil {
		return nil, err
	}
	conn, err := peer.Calls()
	if err != nil {
		_ = peer.Close() // nothing was said
		return nil, err
	}
	o := &otherServer{
		addr: addr, peer: peer, conn: conn,
		node: linkpb.NewNodeLinkClient(conn), link: linkpb.NewPeerLinkClient(conn),
	}
	return p.keep(o)
}

func (p *peers) alive(addr string) *otherServer {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.byAddr[addr]
	if o == nil {
		return nil
	}
	select {
	case <-o.peer.Done():
		o.close()
		delete(p.byAddr, addr)
		return nil
	default:
		return o
	}
}

// keep stores a new connection, unless another call was faster.
func (p *peers) keep(o *otherServer) (*otherServer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		o.close()
		return nil, net.ErrClosed
	}
	if other := p.byAddr[o.addr]; other != nil {
		o.close()
		return other, nil
	}
	p.byAddr[o.addr] = o
	return o, nil
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, o := range p.byAddr {
		o.close()
	}
	clear(p.byAddr)
}

func (o *otherServer) close() {
	_ = o.conn.Close() // only fails if closed already
	_ = o.peer.Close() // the same
}

// peerService is what other servers call.
type peerService struct {
	linkpb.UnimplementedPeerLinkServer
	s *Server
}

// HoldsNode implements linkpb.PeerLinkServer.
func (p *peerService) HoldsNode(ctx context.Context, req *linkpb.HoldsNodeRequest) (*linkpb.HoldsNodeReply, error) {
	return &linkpb.HoldsNodeReply{Holds: p.s.reach(ctx, req.GetNodeId()) != nil}, nil
}

// Tunnel implements linkpb.PeerLinkServer: bytes go to and fro between the
// calling server and a stream to the node.
func (p *peerService) Tunnel(far linkpb.PeerLink_TunnelServer) error {
	first, err := far.Recv()
	if err != nil {
		return err
	}
	peer := p.s.held.of(first.GetNodeId())
	if peer == nil {
		return status.Errorf(codes.NotFound, "node %s is not connected to this server", first.GetNodeId())
	}
	near, err := peer.Open(far.Context())
	if err != nil {
		return status.Errorf(codes.Unavailable, "open a stream to node %s: %v", first.GetNodeId(), err)
	}
	if err := far.Send(&linkpb.TunnelChunk{NodeId: first.GetNodeId()}); err != nil { // it is open
		_ = near.Close() // nothing was said
		return err
	}
	p.s.group.Go("tunnel to a node", func(context.Context) error {
		defer func() { _ = near.Close() }() // the node sees the end
		pour(near, far)
		return nil
	})
	buf := make([]byte, chunkSize)
	for {
		n, err := near.Read(buf)
		if n > 0 {
			if sendErr := far.Send(&linkpb.TunnelChunk{Data: buf[:n]}); sendErr != nil {
				err = sendErr
			}
		}
		if err != nil {
			_ = near.Close() // and returning ends the call, and so the goroutine above
			return nil
		}
	}
}

// chunkSize is how many bytes of a tunnel travel in one message.
const chunkSize = 32 << 10

// receiver is either end of a tunnel.
type receiver interface {
	Recv() (*linkpb.TunnelChunk, error)
}

// pour writes what comes out of the tunnel to w until either ends.
func pour(w io.Writer, from receiver) {
	for {
		chunk, err := from.Recv()
		if err != nil {
			return
		}
		if _, err := w.Write(chunk.GetData()); err != nil {
			return
		}
	}
}

// tunnel is the calling server's end: a net.Conn to the node.
type tunnel struct {
	stream linkpb.PeerLink_TunnelClient
	cancel context.CancelFunc
	addr   net.Addr
	rest   []byte // received, not yet read
}

// openTunnel opens a stream to a node that another server holds.
func openTunnel(ctx context.Context, o *otherServer, nodeID string) (net.Conn, error) {
	// The tunnel outlives the dial that asks for it.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	stream, err := o.link.Tunnel(life)
	if err == nil {
		err = stream.Send(&linkpb.TunnelChunk{NodeId: nodeID})
	}
	if err == nil {
		_, err = stream.Recv()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &tunnel{stream: stream, cancel: cancel, addr: o.peer.Addr()}, nil
}

// Read implements net.Conn.
func (t *tunnel) Read(b []byte) (int, error) {
	for len(t.rest) == 0 {
		chunk, err := t.stream.Recv()
		if err != nil {
			return 0, io.EOF
		}
		t.rest = chunk.GetData()
	}
	n := copy(b, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// Write implements net.Conn.
func (t *tunnel) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		part := b[done:min(done+chunkSize, len(b))]
		if err := t.stream.Send(&linkpb.TunnelChunk{Data: part}); err != nil {
			return done, err
		}
		done += len(part)
	}
	return len(b), nil
}

// Close implements net.Conn.
func (t *tunnel) Close() error {
	t.cancel()
	return nil
}

// LocalAddr implements net.Conn.
func (t *tunnel) LocalAddr() net.Addr { return t.addr }

// RemoteAddr implements net.Conn.
func (t *tunnel) RemoteAddr() net.Addr { return t.addr }

// SetDeadline implements net.Conn; requests carry a context instead.
func (t *tunnel) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.Conn.
func (t *tunnel) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.Conn.
func (t *tunnel) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
