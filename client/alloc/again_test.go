package alloc

import (
	"errors"
	"slices"
	"testing"

	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/internal/testx"
)

// startsOf counts the starts of a task.
func (w *world) startsOf(name string) int {
	n := 0
	for _, call := range w.driver.Calls() {
		if call == "start "+name {
			n++
		}
	}
	return n
}

func TestRestartOfAllTasksBeginsTheGroupAgain(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.alloc("a1", "service", "web", "init[pre]", "proxy[pre+]", "clean[stop]"), nil)
	testx.Eventually(t, patience, "init runs", func() bool { return w.driver.Exit("a1", "init", 0) })
	testx.Eventually(t, patience, "web runs", func() bool { return r.Task("web").State().State == "running" })
	for round := 1; round <= 3; round++ {
		if err := r.RestartAll("because"); err != nil {
			t.Fatal(err)
		}
		testx.Eventually(t, patience, "init runs again", func() bool {
			if s := r.Status().ClientStatus; s != "running" && s != "pending" {
				t.Fatalf("status %s between the end and the new beginning", s)
			}
			return w.startsOf("init") == round+1 && w.driver.Exit("a1", "init", 0)
		})
		testx.Eventually(t, patience, "web runs again", func() bool {
			s := r.Task("web").State()
			return w.startsOf("web") == round+1 && s.State == "running" && s.Restarts == uint64(round)
		})
	}
	if slices.Contains(w.driver.Calls(), "start clean") {
		t.Error("the poststop task was started by a restart")
	}
	if w.memory.Alloc("a1").Again {
		t.Error("it is still written down as to be begun again")
	}
	if err := r.Update(stop(r.Alloc())); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the poststop task runs", func() bool { return w.driver.Exit("a1", "clean", 0) })
	w.status(r, "complete")
	<-r.Done()
	if err := r.RestartAll("too late"); !errors.Is(err, task.ErrNotRunning) {
		t.Errorf("restart of a finished allocation: %v", err)
	}
}

// An agent that dies in the middle must not take the tasks' end for the
// allocation's.
func TestRestartOfAllTasksSurvivesTheAgent(t *testing.T) {
	w := newWorld(t)
	r := w.start(w.alloc("a1", "service", "web", "other"), nil)
	testx.Eventually(t, patience, "both run", func() bool { return len(w.driver.Running()) == 2 })
	w.driver.Deaf(true)
	if err := r.RestartAll("because"); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "both are asked to end", func() bool {
		return w.memory.Task("a1", "web").Intent == "stop" && w.memory.Task("a1", "other").Intent == "stop"
	})
	w.stops["a1"]()
	w.driver.Deaf(false)
	again := w.start(w.memory.Alloc("a1").Alloc, w.memory.Alloc("a1"))
	testx.Eventually(t, patience, "both run again", func() bool {
		return w.startsOf("web") == 2 && w.startsOf("other") == 2 && len(w.driver.Running()) == 2
	})
	w.status(again, "running")
}
