package session

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/steppe-run/steppe/link"
)

// holding is one connection to this server, a node's or another server's.
type holding struct {
	peer   *link.Peer
	nodeID string // guarded by the registry; empty until the node is known
}

// registry knows the connections that are up, and whose they are.
type registry struct {
	mu     sync.Mutex
	all    map[*holding]struct{}
	byNode map[string]*holding
	closed bool
}

func newRegistry() *registry {
	return &registry{all: map[*holding]struct{}{}, byNode: map[string]*holding{}}
}

// add takes a connection in; false if the server is stopping.
func (r *registry) add(h *holding) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.all[h] = struct{}{}
	return true
}

// bind notes that a connection is a node's. The newest one counts: the one
// before is closed, since a node that connects again has given it up, and who
// still speaks over it would wait for nothing.
func (r *registry) bind(h *holding, nodeID string) {
	r.mu.Lock()
	var before *holding
	if _, up := r.all[h]; up && h.nodeID != nodeID {
		before = r.byNode[nodeID]
		h.nodeID = nodeID
		r.byNode[nodeID] = h
	}
	r.mu.Unlock()
	if before != nil && before != h {
		_ = before.peer.Close() // its server loop ends
	}
}

func (r *registry) drop(h *holding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, h)
	if r.byNode[h.nodeID] == h {
		delete(r.byNode, h.nodeID)
	}
}

// of returns the connection of a node, nil if it has none here.
func (r *registry) of(nodeID string) *link.Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.byNode[nodeID]; h != nil {
		return h.peer
	}
	return nil
}

func (r *registry) closeAll() {
	r.mu.Lock()
	r.closed = true
	all := r.all
	r.all = map[*holding]struct{}{}
	r.mu.Unlock()
	for h := range all {
		_ = h.peer.Close() // its server loop ends
	}
}

// streams are what the other side opens; each remembers its connection.
type streams struct {
	*link.Peer
	h *holding
}

// Accept implements net.Listener.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.Peer.Accept()
	if err != nil {
		return nil, err
	}
	return &stream{Conn: c, h: s.h}, nil
}

type stream struct {
	net.Conn
	h *holding
}

// admission tells gRPC whose connection a stream belongs to. Encryption and
// certificates are below, in the connection that carries the streams.
type admission struct{}

// authInfo is what a call can find out about its connection.
type authInfo struct {
	credentials.CommonAuthInfo
	h *holding
}

// AuthType implements credentials.AuthInfo.
func (authInfo) AuthType() string { return "steppe-session" }

// ServerHandshake implements credentials.TransportCredentials.
func (admission) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	s, ok := c.(*stream)
	if !ok {
		return nil, nil, net.ErrClosed
	}
	info := authInfo{h: s.h}
	info.SecurityLevel = credentials.PrivacyAndIntegrity
	return c, info, nil
}

// ClientHandshake implements credentials.TransportCredentials; nobody dials
// with these.
func (admission) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, net.ErrClosed
}

// Info implements credentials.TransportCredentials.
func (admission) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (a admission) Clone() credentials.TransportCredentials { return a }

// OverrideServerName implements credentials.TransportCredentials.
func (admission) OverrideServerName(string) error { return nil }

// holdingOf returns the connection that a call came over.
func holdingOf(ctx context.Context) *holding {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(authInfo); ok {
			return info.h
		}
	}
	return nil
}
