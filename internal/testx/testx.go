// Package testx holds what tests of every room need: waiting for a condition
// with a deadline instead of sleeping, and free ports.
//
// It must not know any noun of the field. Begin reading at Eventually.
package testx

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Eventually polls cond every few milliseconds until it holds, and fails the
// test if it doesn't within the deadline. The message says what was awaited.
func Eventually(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

// The ports that FreePort tries. The kernel takes the ports of outgoing
// connections from 32768 up: one of those, free when we look, may be taken by a
// stranger's connection before the test listens on it. Nodes give their tasks
// ports from 20000 up.
const firstPort, lastPort = 10000, 19999

// ports counts the ports given, so that this process gives none twice.
var ports atomic.Uint32

// FreePort returns a port on which nobody listened on host a moment ago,
// neither over TCP nor over UDP.
func FreePort(t testing.TB, host string) int {
	t.Helper()
	port, err := FindPort(host)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// FindPort is FreePort for code that has no test at hand.
func FindPort(host string) (int, error) {
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
