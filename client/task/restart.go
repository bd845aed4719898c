package task

import (
	"fmt"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Cause is why a task stands at the question whether to start again.
type Cause string

// The causes.
const (
	CauseSuccess     Cause = "success"     // it exited well
	CauseFailure     Cause = "failure"     // it exited badly, or waiting for it failed
	CauseRecoverable Cause = "recoverable" // it couldn't be started; trying again may help
	CauseFatal       Cause = "fatal"       // it can't be started
	CauseUser        Cause = "user"        // a person asked for a restart
	CauseUnhealthy   Cause = "unhealthy"   // its checks kept failing
	CauseLost        Cause = "lost"        // it couldn't be found again after a restart of the driver or the agent
)

// Rules are what decides about restarts besides the cause.
type Rules struct {
	Policy *structs.RestartPolicy
	// OnSuccess says that a task that exits well is started again.
	OnSuccess bool
	// Jitter is a random number in [0, 1).
	Jitter float64
}

// Verdict is the answer.
type Verdict struct {
	// Again says that the task starts again after Delay.
	Again bool
	Delay time.Duration
	// Failed says that a task that doesn't start again has failed.
	Failed bool
	Reason string
}

// Decide answers, and returns what to remember.
func Decide(w structs.RestartWindow, now time.Time, cause Cause, rules Rules) (structs.RestartWindow, Verdict) {
	switch cause {
	case CauseUser:
		return w, Verdict{Again: true, Reason: "User requested restart"}
	case CauseLost:
		return w, Verdict{Again: true, Reason: "Task was not found again after a restart of its driver or of the agent"}
	case CauseFatal:
		return w, Verdict{Failed: true, Reason: "Error was unrecoverable"}
	case CauseSuccess:
		if !rules.OnSuccess {
			return w, Verdict{Reason: "Restart unnecessary as task terminated successfully"}
		}
	}
	d := rules.Policy.Decide(w, now, rules.Jitter)
	reason := d.Reason
	if reason == structs.ReasonUsedUp {
		reason = fmt.Sprintf(reason, structs.Value(rules.Policy.Attempts), structs.Value(rules.Policy.Interval))
	}
	return d.Window, Verdict{Again: d.Restart, Delay: d.Delay, Failed: !d.Restart, Reason: reason}
}

// restartsOnSuccess says whether a task that exits well is started again: the
// main tasks and sidecars of jobs that run until they are stopped.
func restartsOnSuccess(jobType string, task *structs.Task) bool {
	if task.Lifecycle != nil && !task.Lifecycle.Sidecar {
		return false
	}
	return jobType == structs.JobTypeService || jobType == structs.JobTypeSystem
}
