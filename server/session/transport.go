package session

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/structs"
)

// newTransport reaches nodes: the host of a URL is a node's id.
func (s *Server) newTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			nodeID, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return s.openStream(ctx, nodeID)
		},
		DisableCompression:  true, // bytes go through as they are
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     30 * time.Second,
	}
}

// NodeTransport reaches the HTTP handler of a node, directly or through the
// server that holds its session. What it returns may be kept and shared; it
// fails while the node is connected to no server.
func (s *Server) NodeTransport(nodeID string) (http.RoundTripper, error) {
	if nodeID == "" {
		return nil, structs.ErrNodeNotFound
	}
	return nodeTransport{s, nodeID}, nil
}

type nodeTransport struct {
	s      *Server
	nodeID string
}

// RoundTrip implements http.RoundTripper.
func (t nodeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	to := r.Clone(r.Context())
	to.URL.Scheme, to.URL.Host, to.RequestURI = "http", t.nodeID, ""
	if to.Host == "" {
		to.Host = t.nodeID
	}
	return t.s.web.RoundTrip(to)
}

// openStream opens a stream to a node, wherever it is connected.
func (s *Server) openStream(ctx context.Context, nodeID string) (net.Conn, error) {
	if peer := s.reach(ctx, nodeID); peer != nil {
		return peer.Open(ctx)
	}
	for _, addr := range s.cfg.Cluster.ServerAddrs() {
		if addr == s.cfg.Cluster.LocalAddr() {
			continue
		}
		if conn := s.openThrough(ctx, addr, nodeID); conn != nil {
			return conn, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, structs.NewError(structs.KindUnavailable,
		"No path to node %s: it is connected to no server of this region at the moment", nodeID)
}

// answerLimit is how long a node's connection may take to answer before it is
// taken for dead. A node that moved to another server leaves a connection
// behind that would otherwise be believed until its keep-alive fails.
const answerLimit = time.Second

// reach returns the connection of a node if it answers, nil if it has none
// here. One that doesn't answer is closed: a node that lives connects again.
func (s *Server) reach(ctx context.Context, nodeID string) *link.Peer {
	peer := s.held.of(nodeID)
	if peer == nil {
		return nil
	}
	answered := make(chan error, 1)
	s.group.Go("ask a node whether it is there", func(context.Context) error {
		answered <- peer.Ping() // ends by itself when the connection does
		return nil
	})
	timer := s.cfg.Clock.NewTimer(answerLimit)
	defer timer.Stop()
	select {
	case err := <-answered:
		if err == nil {
			return peer
		}
	case <-timer.C():
		s.log.Info("a node's connection doesn't answer and is closed", logx.KeyNode, nodeID)
	case <-ctx.Done():
		return nil
	}
	_ = peer.Close() // its server loop ends
	return nil
}

// openThrough opens a stream through another server; nil if that doesn't hold
// the node or can't be reached.
func (s *Server) openThrough(ctx context.Context, addr, nodeID string) net.Conn {
	brief, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	other, err := s.peers.get(brief, addr)
	if err != nil {
		s.log.Debug("ask server for a node", logx.KeyAddr, addr, logx.KeyError, err)
		return nil
	}
	reply, err := other.link.HoldsNode(brief, &linkpb.HoldsNodeRequest{NodeId: nodeID})
	if err != nil || !reply.GetHolds() {
		return nil
	}
	conn, err := openTunnel(brief, other, nodeID)
	if err != nil {
		s.log.Debug("open tunnel to a node", logx.KeyAddr, addr, logx.KeyError, err)
		return nil
	}
	return conn
}
