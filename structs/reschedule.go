package structs

import (
	"math"
	"time"
)

// Enabled reports whether failed allocations are replaced at all.
func (p *ReschedulePolicy) Enabled() bool {
	return p != nil && (Value(p.Unlimited) || Value(p.Attempts) > 0)
}

// Next says when an allocation that failed at the given time may be replaced,
// and after which delay. past are the replacements that led to it, oldest
// first. ok is false when the policy allows none.
func (p *ReschedulePolicy) Next(past []*RescheduleEvent, failed time.Time) (at time.Time, delay time.Duration, ok bool) {
	if !p.Enabled() {
		return time.Time{}, 0, false
	}
	delay = p.NextDelay(past, failed)
	if !Value(p.Unlimited) && p.Attempted(past, failed) >= Value(p.Attempts) {
		return time.Time{}, 0, false
	}
	return failed.Add(delay), delay, true
}

// Attempted counts the replacements within the policy's interval before t.
func (p *ReschedulePolicy) Attempted(past []*RescheduleEvent, t time.Time) int {
	n, from := 0, t.Add(-Value(p.Interval))
	for _, e := range past {
		if time.Unix(0, e.RescheduleTime).After(from) {
			n++
		}
	}
	return n
}

// NextDelay returns how long to wait after a failure before replacing: the
// policy's function of the delays so far, at most MaxDelay. It starts over
// when the allocation outlived MaxDelay.
func (p *ReschedulePolicy) NextDelay(past []*RescheduleEvent, failed time.Time) time.Duration {
	base, limit := Value(p.Delay), Value(p.MaxDelay)
	n := len(past)
	if n == 0 || ValueOr(p.DelayFunction, DelayConstant) == DelayConstant {
		return base
	}
	last := past[n-1]
	if limit > 0 && failed.Sub(time.Unix(0, last.RescheduleTime)) > limit {
		return base
	}
	delay := base
	switch Value(p.DelayFunction) {
	case DelayExponential:
		delay = saturatingSum(last.Delay, last.Delay)
	case DelayFibonacci:
		// After starting over the last delay is smaller than the one before:
		// then the series begins again with base, base.
		if n > 1 && past[n-2].Delay <= last.Delay {
			delay = saturatingSum(past[n-2].Delay, last.Delay)
		}
	}
	if limit > 0 {
		delay = min(delay, limit)
	}
	return max(delay, base)
}

func saturatingSum(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Past returns the replacements that led to the allocation, oldest first.
func (a *Allocation) Past() []*RescheduleEvent {
	if a.RescheduleTracker == nil {
		return nil
	}
	return a.RescheduleTracker.Events
}

// ReschedulePolicy returns the policy of the allocation's group, or nil.
func (a *Allocation) ReschedulePolicy() *ReschedulePolicy {
	if g := a.Job.LookupTaskGroup(a.TaskGroup); g != nil {
		return g.ReschedulePolicy
	}
	return nil
}
