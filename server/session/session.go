// Package session is the server's end of the node link: it admits nodes,
// passes on what they report, tells them what changed, and opens streams to
// them, directly or through the server that holds their connection.
//
// It must not know the other rooms of the server: what it needs of them are
// the interfaces Backend, Cluster and Store. Begin reading at Server; node.go
// has what nodes call, peer.go what servers call on each other.
package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/feed"
	"github.com/steppe-run/steppe/structs"
)

// Backend performs what nodes ask for. It is called on the leader only, and
// returns once the change is applied, with the index it was applied at; if it
// answers structs.ErrNotLeader the call goes to the leader.
type Backend interface {
	// RegisterNode stores the node; it returns its time to live as well.
	RegisterNode(ctx context.Context, n *structs.Node) (index uint64, ttl time.Duration, err error)
	// Heartbeat renews a node's time to live.
	Heartbeat(ctx context.Context, nodeID string) (ttl time.Duration, err error)
	// UpdateAllocs stores what a node reports. Batching is the backend's.
	UpdateAllocs(ctx context.Context, nodeID string, updates []*structs.AllocUpdate) (index uint64, err error)
	ServiceBackend
}

// ServiceBackend is the part of Backend that concerns services.
type ServiceBackend interface {
	// UpsertServices stores service registrations.
	UpsertServices(ctx context.Context, regs []*structs.ServiceRegistration) (index uint64, err error)
	// SyncServices makes registrations all there are of a node.
	SyncServices(ctx context.Context, nodeID string, regs []*structs.ServiceRegistration) (index uint64, err error)
	// DeleteServices removes service registrations.
	DeleteServices(ctx context.Context, namespace string, ids []string) (index uint64, err error)
}

// Cluster tells who the servers are. Addresses are those of the link.
type Cluster interface {
	IsLeader() bool
	// LeaderAddr returns the leader's address, if it is known.
	LeaderAddr() (addr string, known bool)
	// ServerAddrs lists the servers that are alive, this one among them.
	ServerAddrs() []string
	// LocalAddr is this server's own address.
	LocalAddr() string
}

// Store is what this server has applied.
type Store interface {
	Index() uint64
	Snapshot() *state.Snapshot
	SnapshotAt(ctx context.Context, index uint64) (*state.Snapshot, error)
	Subscribe(from uint64) (*feed.Subscription, error)
}

// Config is what the server's end needs.
type Config struct {
	Backend  Backend
	Cluster  Cluster
	Store    Store
	Listener net.Listener // of link.ALPNSession
	TLS      *certs.TLS
	Clock    clock.Clock
	Logger   *slog.Logger
}

// Server holds the sessions of nodes.
type Server struct {
	cfg     Config
	clock   clock.Clock
	log     *slog.Logger
	held    *registry
	peers   *peers
	changes *Changes
	grpc    *grpc.Server
	web     *http.Transport
	group   *loop.Group // of Run: it waits for tunnels as well
}

// New returns a server that admits nodes once Run runs.
func New(cfg Config) (*Server, error) {
	if cfg.Backend == nil || cfg.Cluster == nil || cfg.Store == nil || cfg.Listener == nil || cfg.TLS == nil {
		return nil, errors.New("make session server: its configuration is incomplete")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	s := &Server{
		cfg: cfg, clock: cfg.Clock, log: cfg.Logger,
		held: newRegistry(), peers: newPeers(cfg.TLS), changes: NewChanges(cfg.Store, cfg.Clock),
	}
	s.web = s.newTransport()
	s.grpc = grpc.NewServer(
		grpc.Creds(admission{}),
		grpc.MaxRecvMsgSize(link.MaxMessage), grpc.MaxSendMsgSize(link.MaxMessage),
		grpc.StaticStreamWindowSize(link.CallWindow), grpc.StaticConnWindowSize(link.CallWindow),
		grpc.UnaryInterceptor(s.checkUnary), grpc.StreamInterceptor(s.checkStream),
	)
	linkpb.RegisterNodeLinkServer(s.grpc, &nodeService{s: s})
	linkpb.RegisterPeerLinkServer(s.grpc, &peerService{s: s})
	return s, nil
}

// Run admits sessions until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	group := loop.New(ctx)
	s.group = group
	group.Go("follow changes", s.changes.Run)
	group.Go("admit sessions", func(ctx context.Context) error { return s.admit(ctx, group) })
	group.Go("end sessions", func(ctx context.Context) error {
		<-ctx.Done()
		err := s.cfg.Listener.Close()
		s.held.closeAll()
		s.grpc.Stop()
		s.peers.close()
		s.web.CloseIdleConnections()
		return err
	})
	return group.Wait()
}

// admit serves every connection in a goroutine of its own.
func (s *Server) admit(ctx context.Context, group *loop.Group) error {
	for {
		conn, err := s.cfg.Listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		group.Go("serve session", func(context.Context) error {
			s.serve(conn)
			return nil
		})
	}
}

// serve answers one connection until it ends.
func (s *Server) serve(conn net.Conn) {
	peer, err := link.AcceptPeer(conn, s.cfg.TLS)
	if err != nil {
		s.log.Info("session refused", logx.KeyAddr, conn.RemoteAddr().String(), logx.KeyError, err)
		_ = conn.Close() // nothing was said
		return
	}
	h := &holding{peer: peer}
	if !s.held.add(h) {
		_ = peer.Close() // we are stopping
		return
	}
	defer s.held.drop(h)
	_ = s.grpc.Serve(&streams{Peer: peer, h: h}) // ends with the connection
	_ = peer.Close()                             // if it was us who ended
}
