package show

import (
	"cmp"
	"fmt"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// eventMessage puts a task's event into words.
func eventMessage(e *structs.TaskEvent) string {
	if e.Message != "" && e.Type != structs.TaskTerminated {
		return e.Message
	}
	if text, ok := plainEvents[e.Type]; ok {
		return text
	}
	switch e.Type {
	case structs.TaskSetupFailure:
		return cmp.Or(e.SetupError, "Task could not be set up")
	case structs.TaskFailedValidation:
		return cmp.Or(e.ValidationError, "Task was refused by the node")
	case structs.TaskArtifactDownloadFailed:
		return cmp.Or(e.DownloadError, "An artifact could not be downloaded")
	case structs.TaskDriverFailure:
		return cmp.Or(e.DriverError, "Driver could not run the task")
	case structs.TaskDriverMessage:
		return e.DriverMessage
	case structs.TaskTerminated:
		return terminatedMessage(e)
	case structs.TaskRestarting:
		return restartingMessage(e)
	case structs.TaskNotRestarting:
		return cmp.Or(e.RestartReason, "Task exceeded its restart policy")
	case structs.TaskSiblingFailed:
		return fmt.Sprintf("Task's sibling %q failed", e.FailedSibling)
	case structs.TaskSignaling:
		return signalMessage(e)
	case structs.TaskKilling:
		return killingMessage(e)
	case structs.TaskKilled:
		return cmp.Or(e.KillError, "Task was killed")
	}
	return ""
}

// plainEvents are the events that say all in their type.
var plainEvents = map[string]string{
	structs.TaskReceived:             "Task received by client",
	structs.TaskSetup:                "Building Task Directory",
	structs.TaskBuildingTaskDir:      "Building Task Directory",
	structs.TaskDownloadingArtifacts: "Client is downloading artifacts",
	structs.TaskStarted:              "Task started by client",
	structs.TaskRestartSignal:        "User requested task to restart",
	structs.TaskLeaderDead:           "Leader task in the group is dead",
	structs.TaskMainDead:             "Main tasks in the group are dead",
	structs.TaskClientReconnected:    "Client reconnected",
	structs.TaskDiskExceeded:         "Task used more disk than it was given",
}

func terminatedMessage(e *structs.TaskEvent) string {
	text := fmt.Sprintf("Exit Code: %d", e.ExitCode)
	if e.Signal != 0 {
		text += fmt.Sprintf(", Signal: %d", e.Signal)
	}
	if e.Message != "" {
		text += fmt.Sprintf(", Exit Message: %q", e.Message)
	}
	return text
}

func restartingMessage(e *structs.TaskEvent) string {
	in := fmt.Sprintf("Task restarting in %s", time.Duration(e.StartDelay))
	if e.RestartReason != "" {
		return e.RestartReason + " - " + in
	}
	return in
}

func signalMessage(e *structs.TaskEvent) string {
	signal := cmp.Or(e.TaskSignal, "a signal")
	if e.TaskSignalReason == "" {
		return fmt.Sprintf("Task being sent %s", signal)
	}
	return fmt.Sprintf("Task being sent %s: %s", signal, e.TaskSignalReason)
}

func killingMessage(e *structs.TaskEvent) string {
	switch {
	case e.KillReason != "":
		return "Killing task: " + e.KillReason
	case e.KillTimeout > 0:
		return fmt.Sprintf("Sent interrupt. Waiting %s before force killing", e.KillTimeout)
	}
	return "Sent interrupt"
}
