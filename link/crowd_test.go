package link

import (
	"net"
	"testing"
)

func TestNoMachineTakesAllConnections(t *testing.T) {
	c := &crowd{limit: 2, byHost: map[string]int{}}
	open := func(host string) net.Conn {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
		conn, ok := c.count(near, host)
		if !ok {
			return nil
		}
		return conn
	}
	first, second := open("10.0.0.1"), open("10.0.0.1")
	if first == nil || second == nil || open("10.0.0.1") != nil || open("10.0.0.2") == nil {
		t.Fatal("the limit is not two a machine")
	}
	_ = first.Close()
	_ = first.Close() // counts once
	if open("10.0.0.1") == nil || open("10.0.0.1") != nil {
		t.Error("a closed connection must make room for one")
	}
}
