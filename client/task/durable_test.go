package task

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

// An agent that dies after a start that is written nowhere would start a
// second copy.
func TestStartThatCannotBeWrittenDownIsNotMade(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	w.running()
	w.memory.Fail(syscall.ENOSPC)
	if err := w.runner.Restart(CauseUser, "x"); err != nil {
		t.Fatal(err)
	}
	s := w.eventually("the start is put off", func(s *structs.TaskState) bool { return s.Restarts == 2 })
	if n := len(w.driver.Starts()); n != 1 {
		t.Fatalf("%d starts", n)
	}
	told := func(e *structs.TaskEvent) bool {
		return e.Type == structs.TaskDriverFailure && !e.FailsTask && strings.Contains(e.DisplayMessage, "no space left")
	}
	if !slices.ContainsFunc(s.Events, told) {
		t.Errorf("events %s don't tell why", types(s))
	}
	w.memory.Fail(nil)
	w.advance(8 * time.Second)
	testx.Eventually(t, patience, "the task is started again", func() bool { return len(w.driver.Starts()) == 2 })
	w.running()
}

func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	w := newWorld(t, structs.JobTypeBatch, nil)
	w.running()
	w.memory.Fail(syscall.ENOSPC)
	w.driver.Exit(w.alloc.ID, "web", 0)
	w.dead()
	w.memory.Fail(nil)
	w.advance(saveRetry)
	testx.Eventually(t, patience, "its end is written down", func() bool {
		return w.memory.Task(w.alloc.ID, "web").State.State == structs.TaskStateDead
	})
	w.restartAgent()
	w.dead()
	if n := len(w.driver.Starts()); n != 1 {
		t.Errorf("a task that was done was started again: %d starts", n)
	}
}

// killing asks for the end of a task that doesn't hear, and has the agent die
// in the middle of it.
func (w *world) killing(k Kill) {
	w.t.Helper()
	w.running()
	w.driver.Deaf(true)
	w.runner.Kill(k)
	testx.Eventually(w.t, patience, "the driver is asked", func() bool { return slices.Contains(w.driver.Calls(), "stop web 5s") })
	w.stop()
	w.driver.Deaf(false)
}

func TestTaskThatWasToFailFailsAfterTheAgent(t *testing.T) {
	w := newWorld(t, structs.JobTypeBatch, nil)
	w.killing(Kill{Reason: "max_run_duration of 1h is over", Fail: true})
	w.start(w.memory.Task(w.alloc.ID, "web"))
	if s := w.dead(); !s.Failed {
		t.Errorf("state %+v", s)
	}
}

func TestHurryOutlivesTheAgent(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, func(task *structs.Task) { task.ShutdownDelay = time.Hour })
	w.killing(Kill{NoDelay: true})
	w.start(w.memory.Task(w.alloc.ID, "web"))
	if s := w.dead(); s.Failed || strings.Contains(types(s), structs.TaskWaitingShutdownDelay) {
		t.Errorf("failed %v, events %s", s.Failed, types(s))
	}
}

// The wish to end a task is written down before the task's services go.
func TestStopOutlivesTheAgentWithinTheDelay(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, func(task *structs.Task) { task.ShutdownDelay = time.Minute })
	w.running()
	w.runner.Kill(Kill{Fail: true})
	w.eventually("the delay has begun", func(s *structs.TaskState) bool {
		return s.Events[len(s.Events)-1].Type == structs.TaskWaitingShutdownDelay
	})
	w.stop()
	if got := w.memory.Task(w.alloc.ID, "web").Intent; got != local.IntentStop {
		t.Fatalf("intent %q", got)
	}
	w.start(w.memory.Task(w.alloc.ID, "web"))
	w.advance(time.Minute)
	if s := w.dead(); !s.Failed {
		t.Errorf("state %+v", s)
	}
}

func TestTaskThatWasToEndAndIsGoneStaysGone(t *testing.T) {
	w := newWorld(t, structs.JobTypeService, nil)
	w.killing(Kill{Fail: true})
	w.driver.Lose()
	w.start(w.memory.Task(w.alloc.ID, "web"))
	if s := w.dead(); !s.Failed || s.Restarts != 0 {
		t.Errorf("state %+v", s)
	}
	if n := len(w.driver.Starts()); n != 1 {
		t.Errorf("%d starts", n)
	}
}
