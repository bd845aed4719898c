// Package testx holds what tests of every room need: waiting for a condition
// with a deadline instead of sleeping, and free ports.
//
// It must not know any noun of the field. Begin reading at Eventually.
package testx

import (
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/port"
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
func FindPort(host string) (int, error) { return port.Find(host) }
