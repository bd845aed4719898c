// Package clock is the only door to time. Code that decides takes a Clock (or
// a plain time) instead of asking the machine, so that it can be stepped by
// hand in tests and in the simulator.
//
// It must not know any noun of the field. Begin reading at Clock.
package clock

import "time"

// Clock tells the time and wakes its caller later.
type Clock interface {
	// Now returns the current time. For the real clock it carries a monotonic
	// reading.
	Now() time.Time
	// NewTimer returns a timer that sends once after d. A d of zero or less
	// fires at once.
	NewTimer(d time.Duration) Timer
}

// Timer is one pending wake-up.
type Timer interface {
	// C delivers the time at which the timer fired, once.
	C() <-chan time.Time
	// Stop prevents the timer from firing; it reports whether it did so.
	Stop() bool
}

// Real is the machine's clock.
type Real struct{}

// Now implements Clock.
func (Real) Now() time.Time { return time.Now() }

// NewTimer implements Clock.
func (Real) NewTimer(d time.Duration) Timer { return realTimer{time.NewTimer(d)} }

type realTimer struct{ t *time.Timer }

func (r realTimer) C() <-chan time.Time { return r.t.C }
func (r realTimer) Stop() bool          { return r.t.Stop() }
