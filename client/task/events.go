package task

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

// MaxEvents is how many of its newest events a task keeps.
const MaxEvents = 10

// Message makes an event of the given type with a message for people.
func Message(kind, format string, args ...any) *structs.TaskEvent {
	text := fmt.Sprintf(format, args...)
	return &structs.TaskEvent{Type: kind, Message: text, DisplayMessage: text, Details: map[string]string{"message": text}}
}

func receivedEvent() *structs.TaskEvent {
	return &structs.TaskEvent{Type: structs.TaskReceived, DisplayMessage: "Task received by client"}
}

func startedEvent() *structs.TaskEvent {
	return &structs.TaskEvent{Type: structs.TaskStarted, DisplayMessage: "Task started by client"}
}

// failureEvent tells why a task can't run at all.
func failureEvent(kind string, err error) *structs.TaskEvent {
	text := err.Error()
	e := &structs.TaskEvent{Type: kind, DisplayMessage: text, FailsTask: true, Details: map[string]string{"fails_task": "true"}}
	switch kind {
	case structs.TaskFailedValidation:
		e.ValidationError = text
		e.Details["validation_error"] = text
	case structs.TaskSetupFailure:
		e.SetupError = text
		e.Details["setup_error"] = text
	case structs.TaskDriverFailure:
		e.DriverError = text
		e.Details["driver_error"] = text
	}
	return e
}

func terminatedEvent(exit *drivers.ExitResult, waitErr error) *structs.TaskEvent {
	e := &structs.TaskEvent{Type: structs.TaskTerminated, Details: map[string]string{}}
	if exit != nil {
		e.ExitCode, e.Signal = exit.ExitCode, exit.Signal
		if exit.OOMKilled {
			e.Details["oom_killed"] = "true"
		}
	}
	e.Details["exit_code"] = strconv.Itoa(e.ExitCode)
	e.Details["signal"] = strconv.Itoa(e.Signal)
	e.DisplayMessage = fmt.Sprintf("Exit Code: %d", e.ExitCode)
	if e.Signal != 0 {
		e.DisplayMessage += fmt.Sprintf(", Signal: %d", e.Signal)
	}
	if exit != nil && exit.OOMKilled {
		e.DisplayMessage += ", Exit Message: \"OOM Killed\""
		e.Message = "OOM Killed"
	}
	if waitErr != nil {
		e.Message = waitErr.Error()
		e.Details["exit_message"] = e.Message
		e.DisplayMessage += fmt.Sprintf(", Exit Message: %q", e.Message)
	}
	return e
}

func restartingEvent(reason string, delay time.Duration) *structs.TaskEvent {
	return &structs.TaskEvent{
		Type:           structs.TaskRestarting,
		RestartReason:  reason,
		StartDelay:     int64(delay),
		DisplayMessage: fmt.Sprintf("%s, restarting in %s", reason, delay.Round(time.Millisecond)),
		Details:        map[string]string{"restart_reason": reason, "start_delay": strconv.FormatInt(int64(delay), 10)},
	}
}

func notRestartingEvent(reason string, failed bool) *structs.TaskEvent {
	return &structs.TaskEvent{
		Type:           structs.TaskNotRestarting,
		RestartReason:  reason,
		FailsTask:      failed,
		DisplayMessage: reason,
		Details:        map[string]string{"restart_reason": reason, "fails_task": strconv.FormatBool(failed)},
	}
}

func killingEvent(timeout time.Duration, reason string) *structs.TaskEvent {
	e := &structs.TaskEvent{
		Type:           structs.TaskKilling,
		KillTimeout:    timeout,
		KillReason:     reason,
		DisplayMessage: fmt.Sprintf("Sent interrupt. Waiting %s before force killing", timeout),
		Details:        map[string]string{"kill_timeout": timeout.String()},
	}
	if reason != "" {
		e.DisplayMessage = fmt.Sprintf("%s (%s)", e.DisplayMessage, reason)
		e.Details["kill_reason"] = reason
	}
	return e
}

func killedEvent(err error) *structs.TaskEvent {
	e := &structs.TaskEvent{Type: structs.TaskKilled, DisplayMessage: "Task successfully killed", Details: map[string]string{}}
	if err != nil {
		e.KillError = err.Error()
		e.Details["kill_error"] = e.KillError
		e.DisplayMessage = "Task could not be killed: " + e.KillError
	}
	return e
}

func signalEvent(signal, reason string) *structs.TaskEvent {
	return &structs.TaskEvent{
		Type:             structs.TaskSignaling,
		TaskSignal:       signal,
		TaskSignalReason: reason,
		DisplayMessage:   fmt.Sprintf("Task being sent signal %s: %s", signal, reason),
		Details:          map[string]string{"task_signal": signal, "task_signal_reason": reason},
	}
}

// RestartSignal says that somebody asked for a restart.
func RestartSignal(reason string) *structs.TaskEvent {
	return &structs.TaskEvent{
		Type:           structs.TaskRestartSignal,
		RestartReason:  reason,
		DisplayMessage: reason,
		Details:        map[string]string{"restart_reason": reason},
	}
}

func delayEvent(delay time.Duration) *structs.TaskEvent {
	return &structs.TaskEvent{
		Type:           structs.TaskWaitingShutdownDelay,
		DisplayMessage: fmt.Sprintf("Waiting for shutdown_delay of %s before killing the task.", delay),
		Details:        map[string]string{},
	}
}

// DriverEvent turns what a driver tells of a task into an event.
func DriverEvent(e *drivers.Event) *structs.TaskEvent {
	out := &structs.TaskEvent{
		Type:           structs.TaskDriverMessage,
		Time:           e.Time.UnixNano(),
		DriverMessage:  e.Message,
		DisplayMessage: e.Message,
		Details:        maps.Clone(e.Annotations),
	}
	if out.Details == nil {
		out.Details = map[string]string{}
	}
	out.Details["driver_message"] = e.Message
	return out
}

// LeaderDead says why a follower of a leader task ends.
func LeaderDead() *structs.TaskEvent {
	return &structs.TaskEvent{Type: structs.TaskLeaderDead, DisplayMessage: "Leader Task in Group dead"}
}

// MainDead says why a sidecar ends.
func MainDead() *structs.TaskEvent {
	return &structs.TaskEvent{Type: structs.TaskMainDead, DisplayMessage: "Main tasks in the group died"}
}

// SiblingFailed says why a task ends whose neighbour failed.
func SiblingFailed(name string) *structs.TaskEvent {
	return &structs.TaskEvent{
		Type:           structs.TaskSiblingFailed,
		FailedSibling:  name,
		DisplayMessage: fmt.Sprintf("Task's sibling %q failed", name),
		Details:        map[string]string{"failed_sibling": name},
	}
}

// appendEvent adds an event and drops the oldest ones beyond MaxEvents.
func appendEvent(events []*structs.TaskEvent, e *structs.TaskEvent) []*structs.TaskEvent {
	out := make([]*structs.TaskEvent, 0, min(len(events)+1, MaxEvents))
	if over := len(events) + 1 - MaxEvents; over > 0 {
		events = events[over:]
	}
	return append(append(out, events...), e)
}
