// Package dns answers for the region's services by name, on every node:
// web.service.steppe and the like, with the healthy instances only, from a cache
// that the servers keep up to date and that outlives their loss and the agent's
// own end. Every other name goes to an upstream, or is refused.
//
// It must not know the client's rooms: it is given a Source of registrations. What
// it is asked is hostile: answers, connections and questions under way are
// bounded, and nobody who asks can keep the node from its work.
//
// Begin reading at Server.Run, then parse.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
)

const (
	// MaxTTL is the longest that answers may be kept by who asked.
	MaxTTL = 5 * time.Second
	// saveEvery bounds how often the cache is written to disk.
	saveEvery = 2 * time.Second
	// bindRetry is the pause before an address is tried again that could not be
	// bound: a bridge's gateway has its address only once the bridge is there.
	bindRetry = 5 * time.Second
	// connIdle and connQueries bound one TCP connection, maxConns all of them.
	connIdle    = 5 * time.Second
	connQueries = 128
	maxConns    = 256
	// stopPatience is how long answers under way are awaited at the end.
	stopPatience = time.Second
)

// Source delivers the registrations of the region, then each change, from the
// index of the last set received (0: none yet), until ctx ends or each fails.
type Source func(ctx context.Context, from uint64, each func(*link.ServiceSet) error) error

// Config is what a server works with.
type Config struct {
	// Domain is what the names end with ("steppe").
	Domain string
	// Addrs are the addresses (host:port) to answer at, over UDP and TCP.
	Addrs []string
	// Upstreams (host:port) are asked for other names. Nil means those of
	// resolv.conf, none that other names are refused.
	Upstreams []string
	// TTL of answers, at most MaxTTL.
	TTL time.Duration
	// Dir keeps the cache; empty keeps nothing.
	Dir    string
	Source Source
	Random *rand.Rand
	Clock  clock.Clock
	Logger *slog.Logger
}

// Server answers questions.
type Server struct {
	cfg      Config
	domain   string // in lower case, without dots around it
	cache    *cache
	upstream *upstream
	dirty    chan struct{} // the cache is to be saved

	mu     sync.Mutex // guards cfg.Random
	bound  sync.Mutex // guards addrs
	addrs  []string
	booted chan struct{} // closed once every address was tried
}

// New makes a server; it answers while Run runs.
func New(cfg Config) *Server {
	domain := strings.ToLower(strings.Trim(cfg.Domain, "."))
	if domain == "" {
		domain = "steppe"
	}
	cfg.TTL = max(0, min(cfg.TTL, MaxTTL))
	return &Server{
		cfg: cfg, domain: domain, cache: newCache(cfg.Dir), upstream: newUpstream(cfg),
		dirty: make(chan struct{}, 1), booted: make(chan struct{}),
	}
}

// Run answers until ctx ends. What can't be bound or read is told and tried
// again: names are a service of the node, not what it is for.
func (s *Server) Run(ctx context.Context) error {
	if err := s.cache.load(); err != nil {
		s.cfg.Logger.Warn("the services known to an earlier life of the agent could not be read", logx.KeyError, err)
	}
	group := loop.New(ctx)
	group.Go("follow services", s.follow)
	group.Go("keep services", s.keep)
	var tried sync.WaitGroup
	for _, addr := range s.cfg.Addrs {
		tried.Add(1)
		group.Go("answer "+addr, func(ctx context.Context) error { return s.answerAt(ctx, addr, sync.OnceFunc(tried.Done)) })
	}
	tried.Wait()
	close(s.booted)
	return group.Wait()
}

// follow keeps the cache up to date.
func (s *Server) follow(ctx context.Context) error {
	return s.cfg.Source(ctx, 0, func(set *link.ServiceSet) error {
		s.cache.take(set)
		select {
		case s.dirty <- struct{}{}:
		default:
		}
		return nil
	})
}

// keep saves the cache when it has changed, not too often, and once more at the
// end.
func (s *Server) keep(ctx context.Context) error {
	for {
		_, err := loop.Await(ctx, s.dirty)
		if err == nil {
			err = loop.Sleep(ctx, s.cfg.Clock, saveEvery)
		}
		if s.cache.ready() {
			if failed := s.cache.save(); failed != nil {
				s.cfg.Logger.Warn("known services could not be written", logx.KeyError, failed)
			}
		}
		if err != nil {
			return ctx.Err()
		}
	}
}

// Addrs are the addresses at which the server answers, once every one was tried.
func (s *Server) Addrs() []string {
	<-s.booted
	s.bound.Lock()
	defer s.bound.Unlock()
	return append([]string(nil), s.addrs...)
}

// answerAt answers at one address, which may come up later.
func (s *Server) answerAt(ctx context.Context, addr string, tried func()) error {
	defer tried()
	told := false
	for ctx.Err() == nil {
		packets, stream, err := bind(ctx, addr)
		if err == nil {
			s.bound.Lock()
			s.addrs = append(s.addrs, stream.Addr().String())
			s.bound.Unlock()
			tried()
			s.cfg.Logger.Info("services are answered for by name", logx.KeyAddr, stream.Addr().String())
			err = s.serve(ctx, packets, stream)
			s.bound.Lock()
			s.addrs = slices.DeleteFunc(s.addrs, func(a string) bool { return a == stream.Addr().String() })
			s.bound.Unlock()
			told = false
		}
		if ctx.Err() != nil {
			break
		}
		tried()
		if !told {
			s.cfg.Logger.Info("names can't be answered for at an address; it is tried again", logx.KeyAddr, addr, logx.KeyError, err)
			told = true
		}
		if err := loop.Sleep(ctx, s.cfg.Clock, bindRetry); err != nil {
			break
		}
	}
	return ctx.Err()
}

// bindTries is how often a port is sought that is free for both.
const bindTries = 20

// bind opens an address for packets and streams. With port 0 both get the same.
func bind(ctx context.Context, addr string) (net.PacketConn, net.Listener, error) {
	var lc net.ListenConfig
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for names: %w", err)
	}
	for try := 1; ; try++ {
		stream, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, nil, fmt.Errorf("listen for names: %w", err)
		}
		packets, err := lc.ListenPacket(ctx, "udp", stream.Addr().String())
		if err == nil {
			return packets, limit(stream, maxConns), nil
		}
		_ = stream.Close() // the first error counts
		if port != "0" || try >= bindTries {
			return nil, nil, fmt.Errorf("listen for names: %w", err)
		}
	}
}

// serve answers at one address until ctx ends or the sockets fail.
func (s *Server) serve(ctx context.Context, packets net.PacketConn, stream net.Listener) error {
	servers := []*dns.Server{
		{PacketConn: packets, Handler: s.handler(ctx, udpMax)},
		{Listener: stream, Handler: s.handler(ctx, dns.MaxMsgSize), MaxTCPQueries: connQueries, IdleTimeout: func() time.Duration { return connIdle }},
	}
	group := loop.New(ctx)
	for _, server := range servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		server.ReadTimeout, server.WriteTimeout = connIdle, connIdle
		group.Go("serve", func(ctx context.Context) error {
			inner := loop.New(ctx)
			inner.Go("stop", func(ctx context.Context) error {
				if _, err := loop.Await(ctx, started); err == nil {
					<-ctx.Done()
				}
				patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
				defer cancel()
				_ = server.ShutdownContext(patience) // who still waits for an answer asks again
				return ctx.Err()
			})
			err := server.ActivateAndServe()
			inner.Stop()
			_ = inner.Wait() // it ends as it is told to
			if err == nil {
				err = errStopped
			}
			return err
		})
	}
	err := group.Wait()
	_, _ = packets.Close(), stream.Close() // closed already, if they were served
	return err
}

// errStopped ends the other socket of an address when one of them is done.
var errStopped = errors.New("the socket was closed")
