package door

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// PerClient is a listener that counts the connections of each client address.
// Those above max are answered 429 by Serve; far above it they are closed
// unheard. Zero is no limit.
func PerClient(l net.Listener, max int) net.Listener {
	if max <= 0 {
		return l
	}
	return &perClient{Listener: l, max: max, open: map[string]int{}}
}

type perClient struct {
	net.Listener
	max  int
	mu   sync.Mutex
	open map[string]int
}

// Accept implements net.Listener.
func (p *perClient) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return conn, nil
		}
		client := tcp.IP.String()
		p.mu.Lock()
		p.open[client]++
		n := p.open[client]
		p.mu.Unlock()
		counted := &countedConn{Conn: conn, from: p, client: client, tooMany: n > p.max}
		if n <= 2*p.max {
			return counted, nil
		}
		_ = counted.Close() // nobody is left to tell
	}
}

// countedConn gives its place back once, when it is closed.
type countedConn struct {
	net.Conn
	from    *perClient
	client  string
	tooMany bool
	once    sync.Once
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.from.mu.Lock()
		defer c.from.mu.Unlock()
		if c.from.open[c.client]--; c.from.open[c.client] == 0 {
			delete(c.from.open, c.client)
		}
	})
	return c.Conn.Close()
}

// tooManyKey marks, in a request's context, a connection above the limit.
type tooManyKey struct{}

func markTooMany(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if counted, ok := conn.(*countedConn); ok && counted.tooMany {
		return context.WithValue(ctx, tooManyKey{}, true)
	}
	return ctx
}

// refuseTooMany answers for a connection above the limit, and ends it.
func refuseTooMany(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(tooManyKey{}) == nil {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		http.Error(w, "Too many connections from this address (limits.http_max_conns_per_client)", http.StatusTooManyRequests)
	})
}
