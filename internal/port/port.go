// Package port finds free ports, for tests and for programs that start servers
// of their own.
//
// It must not know any noun of the field. Begin reading at Find.
package port

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// The ports that Find tries. The kernel takes the ports of outgoing
// connections from 32768 up: one of those, free when we look, may be taken by a
// stranger's connection before the caller listens on it. Nodes give their tasks
// ports from 20000 up.
const firstPort, lastPort = 10000, 19999

// ports counts the ports given, so that this process gives none twice.
var ports atomic.Uint32

// Find returns a port on which nobody listened on host a moment ago, neither
// over TCP nor over UDP.
func Find(host string) (int, error) {
	const span = lastPort - firstPort + 1
	begin := os.Getpid() * 97 // two test processes seldom give the same port
	var last error
	for range span {
		port := firstPort + (begin+int(ports.Add(1)))%span
		if last = listenable(net.JoinHostPort(host, strconv.Itoa(port))); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port on %s: %w", host, last)
}

func listenable(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return errors.Join(p.Close(), l.Close())
}
