package structs

import (
	"fmt"
	"time"
)

// RestartWindow is what must be remembered between the restarts of a task.
type RestartWindow struct {
	Start time.Time // when the current interval began
	Used  int       // restarts in it
}

// RestartDecision is what a restart policy says when a task has ended.
type RestartDecision struct {
	Restart bool
	Delay   time.Duration // wait before the restart
	Reason  string        // for the task's event
	Window  RestartWindow // to remember
}

// Texts of RestartDecision.Reason; ReasonUsedUp is a format of count and interval.
const (
	ReasonWithinPolicy = "Restart within policy"
	ReasonUsedUp       = "Exceeded allowed attempts %d in interval %s and mode is \"fail\""
	ReasonDelayed      = "Exceeded allowed attempts, applying a delay"
	ReasonNoRestarts   = "Policy allows no restarts"
)

// restartJitter is the largest part of the delay that is added to it.
const restartJitter = 0.25

// Decide says whether and when a task that has ended at now is restarted.
// random, in [0,1), spreads the delay: up to a quarter is added to it.
func (p *RestartPolicy) Decide(w RestartWindow, now time.Time, random float64) RestartDecision {
	attempts, interval := Value(p.Attempts), Value(p.Interval)
	if attempts == 0 && ValueOr(p.Mode, RestartModeFail) == RestartModeFail {
		return RestartDecision{Reason: ReasonNoRestarts, Window: w}
	}
	if w.Start.IsZero() || now.Sub(w.Start) > interval {
		w = RestartWindow{Start: now}
	}
	delay := Value(p.Delay)
	delay += time.Duration(float64(delay) * restartJitter * random)
	w.Used++
	switch {
	case w.Used <= attempts:
		return RestartDecision{Restart: true, Delay: delay, Reason: ReasonWithinPolicy, Window: w}
	case ValueOr(p.Mode, RestartModeFail) == RestartModeFail:
		return RestartDecision{Reason: fmt.Sprintf(ReasonUsedUp, attempts, interval), Window: w}
	}
	// Mode delay: the rest of the interval, then a new one begins.
	rest := w.Start.Add(interval).Sub(now)
	return RestartDecision{Restart: true, Delay: max(rest, delay), Reason: ReasonDelayed, Window: RestartWindow{}}
}
