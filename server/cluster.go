package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/server/members"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func (s *Server) membersConfig() (members.Config, error) {
	bindHost, bindPort, err := splitAddr(s.cfg.SerfAddr)
	if err != nil {
		return members.Config{}, fmt.Errorf("read the gossip address: %w", err)
	}
	cfg := members.Config{
		Name:            s.cfg.Name,
		ID:              s.id,
		Region:          s.cfg.Region,
		Datacenter:      s.cfg.Datacenter,
		Version:         s.cfg.Version,
		BindAddr:        bindHost,
		BindPort:        bindPort,
		RPCAddr:         s.cfg.LinkAdvertiseAddr,
		HTTPAddr:        s.cfg.HTTPAdvertiseAddr,
		BootstrapExpect: s.cfg.BootstrapExpect,
		FeatureLevel:    command.Level,
		HasState:        s.replica.HasState(),
		EncryptKey:      s.cfg.EncryptKey,
		RetryJoin:       s.cfg.RetryJoin,
		RetryInterval:   s.cfg.RetryInterval,
		RetryMax:        s.cfg.RetryMax,
		Prove:           s.prove,
		DataDir:         s.cfg.DataDir,
		Clock:           s.cfg.Clock,
		Logger:          s.log,
	}
	if s.cfg.SerfAdvertiseAddr != "" {
		if cfg.AdvertiseAddr, cfg.AdvertisePort, err = splitAddr(s.cfg.SerfAdvertiseAddr); err != nil {
			return members.Config{}, fmt.Errorf("read the gossip address to advertise: %w", err)
		}
	}
	return cfg, nil
}

// prove connects to a server as Raft would; its certificate must be one of a
// server of this region.
func (s *Server) prove(ctx context.Context, addr string) error {
	conn, err := link.Dial(ctx, addr, s.cfg.TLS, link.ALPNRaft)
	if err != nil {
		return err
	}
	return conn.Close()
}

// SerfAddr is the address of gossip, as told to others.
func (s *Server) SerfAddr() string {
	m := s.members.Local()
	return net.JoinHostPort(m.Addr, strconv.Itoa(m.Port))
}

func splitAddr(addr string) (string, int, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: the port is no number from 0 to 65535", addr)
	}
	return host, int(port), nil
}

// cluster is what node sessions ask about the servers.
type cluster struct{ s *Server }

// IsLeader implements session.Cluster.
func (c cluster) IsLeader() bool { return c.s.IsLeader() }

// LeaderAddr implements session.Cluster.
func (c cluster) LeaderAddr() (string, bool) { return c.s.Leader() }

// LocalAddr implements session.Cluster.
func (c cluster) LocalAddr() string { return c.s.cfg.LinkAdvertiseAddr }

// ServerAddrs implements session.Cluster.
func (c cluster) ServerAddrs() []string {
	var addrs []string
	for _, m := range c.s.members.List() {
		if m.Region == c.s.cfg.Region && m.Status == members.StatusAlive {
			addrs = append(addrs, m.RPCAddr)
		}
	}
	return addrs
}

// voters is Raft's configuration as membership changes it.
type voters struct{ s *Server }

// Voters implements members.Voters.
func (v voters) Voters() ([]members.Voter, error) {
	servers, _, err := v.s.replica.Configuration()
	if err != nil {
		return nil, err
	}
	out := make([]members.Voter, 0, len(servers))
	for _, s := range servers {
		out = append(out, members.Voter{ID: s.ID, Addr: s.Addr})
	}
	return out, nil
}

// AddVoter implements members.Voters. What gossip says must be proven: anyone
// who reaches the gossip port can say it.
func (v voters) AddVoter(ctx context.Context, id, addr string) error {
	if err := v.s.members.Prove(ctx, addr); err != nil {
		return fmt.Errorf("prove that %s belongs to the cluster: %w", addr, err)
	}
	return v.s.replica.AddVoter(ctx, id, addr)
}

// RemoveServer implements members.Voters.
func (v voters) RemoveServer(ctx context.Context, id string) error {
	return v.s.replica.RemoveServer(ctx, id)
}

// leaderTransport sends requests to whoever leads.
type leaderTransport struct {
	server *Server

	mu        sync.Mutex
	addr      string
	transport *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (l *leaderTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	addr, known := l.server.Leader()
	if !known {
		return nil, structs.ErrNoLeader
	}
	return l.to(addr).RoundTrip(req)
}

func (l *leaderTransport) to(addr string) *http.Transport {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.transport == nil || l.addr != addr {
		if l.transport != nil {
			l.transport.CloseIdleConnections()
		}
		l.addr, l.transport = addr, link.HTTPTransport(addr, l.server.cfg.TLS)
	}
	return l.transport
}

func (l *leaderTransport) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.transport != nil {
		l.transport.CloseIdleConnections()
	}
}
