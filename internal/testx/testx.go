// Package testx holds what tests of every room need: waiting for a condition
// with a deadline instead of sleeping, and free ports.
//
// It must not know any noun of the field. Begin reading at Eventually.
package testx

import (
	"net"
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

// FreePort returns a TCP port that was free on host a moment ago.
func FreePort(t testing.TB, host string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer func() { _ = l.Close() }() // the port is all we wanted
	return l.Addr().(*net.TCPAddr).Port
}
