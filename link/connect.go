package link

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link/linkpb"
)

// connection is a session's tie to one server.
type connection struct {
	addr  string
	peer  *Peer
	calls []*grpc.ClientConn
	node  linkpb.NodeLinkClient
	beat  linkpb.NodeLinkClient // over a stream of its own
}

// backoff grows from one wait to the next.
type backoff struct{ first, limit, last time.Duration }

func newBackoff(first, limit time.Duration) *backoff { return &backoff{first: first, limit: limit} }

// next returns how long to wait: the growing time, less up to a half by
// random, so that many don't come back at once.
func (b *backoff) next(random float64) time.Duration {
	b.last = min(max(b.first, 2*b.last), b.limit)
	return b.last - time.Duration(random*float64(b.last)/2)
}

func (b *backoff) reset() { b.last = 0 }

// Run keeps the session up until ctx ends.
func (s *Session) Run(ctx context.Context) error {
	wait := newBackoff(100*time.Millisecond, 5*time.Second)
	for failed := 0; ctx.Err() == nil; {
		addr, all := s.nextServer()
		began := s.clock.Now()
		err := errors.New("no server is known")
		if addr != "" {
			err = s.serve(ctx, addr)
		}
		if ctx.Err() != nil {
			break
		}
		s.log.Info("no connection to the server", logx.KeyAddr, addr, logx.KeyError, err)
		if s.clock.Now().Sub(began) > time.Minute {
			wait.reset() // it was a good connection
			failed = 0
		}
		if failed++; failed >= all { // every server had its turn
			failed = 0
			s.pause(ctx, wait.next(s.random()))
		}
	}
	return nil
}

// serve connects to one server and stays until that is lost.
func (s *Session) serve(ctx context.Context, addr string) error {
	c, err := s.connect(ctx, addr)
	if err != nil {
		return err
	}
	s.log.Info("connected to a server", logx.KeyAddr, addr)
	group := loop.New(ctx)
	web := &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second}
	group.Go("answer the server", func(context.Context) error {
		_ = web.Serve(c.peer) // ends with the connection, which is seen below
		return nil
	})
	s.become(c)
	select {
	case <-c.peer.Done():
	case <-ctx.Done():
	}
	s.become(nil)
	for _, conn := range c.calls {
		_ = conn.Close() // only fails if closed already
	}
	_ = web.Close()    // closes what is below, whose errors say nothing new
	_ = c.peer.Close() // the same
	return errors.Join(errors.New("the connection ended"), group.Wait())
}

func (s *Session) connect(ctx context.Context, addr string) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	peer, err := DialPeer(ctx, addr, s.tls)
	if err != nil {
		return nil, err
	}
	c := &connection{addr: addr, peer: peer}
	for range 2 {
		conn, err := peer.Calls()
		if err != nil {
			return nil, errors.Join(err, peer.Close())
		}
		c.calls = append(c.calls, conn)
	}
	c.node, c.beat = linkpb.NewNodeLinkClient(c.calls[0]), linkpb.NewNodeLinkClient(c.calls[1])
	return c, nil
}

// become makes c the current connection; nil: there is none.
func (s *Session) become(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.failing = c, time.Time{}
	close(s.changed)
	s.changed = make(chan struct{})
}

// connected waits for a connection.
func (s *Session) connected(ctx context.Context) (*connection, Caller, error) {
	for {
		s.mu.Lock()
		c, caller, changed := s.current, s.caller, s.changed
		s.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, caller, err
		}
		if c != nil {
			return c, caller, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// nextServer takes the server whose turn it is, and how many there are.
func (s *Session) nextServer() (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.servers) == 0 {
		return "", 0
	}
	addr := s.servers[0]
	s.servers = append(s.servers[1:], addr)
	return addr, len(s.servers)
}

// Servers returns the addresses the session knows, the connected one first.
func (s *Session) Servers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.servers)
	if s.current != nil {
		out = slices.DeleteFunc(out, func(a string) bool { return a == s.current.addr })
		out = append([]string{s.current.addr}, out...)
	}
	return out
}

// SetServers replaces the addresses; an empty list changes nothing. The order
// in which they are tried is random.
func (s *Session) SetServers(addrs []string) {
	if len(addrs) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := slices.Clone(s.servers)
	fresh := slices.Clone(addrs)
	slices.Sort(old)
	slices.Sort(fresh)
	fresh = slices.Compact(fresh)
	if slices.Equal(old, fresh) {
		return
	}
	s.rng.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
	s.servers = fresh
}
