package link

import (
	"net"
	"sync"
)

// crowd counts connections by the address they come from, so that no machine
// can take all of them.
type crowd struct {
	limit int // 0: none

	mu     sync.Mutex
	byHost map[string]int
}

// admit counts a connection in; false if its machine has enough. Those of
// this machine aren't counted: all its agents share one address.
func (c *crowd) admit(conn net.Conn) (net.Conn, bool) {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if c.limit == 0 || !ok || tcp.IP.IsLoopback() {
		return conn, true
	}
	return c.count(conn, tcp.IP.String())
}

func (c *crowd) count(conn net.Conn, host string) (net.Conn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHost[host] >= c.limit {
		return nil, false
	}
	c.byHost[host]++
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { c.leave(host) })}, true
}

func (c *crowd) leave(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHost[host]--; c.byHost[host] == 0 {
		delete(c.byHost, host)
	}
}

// counted is a connection that is counted out when it closes.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
