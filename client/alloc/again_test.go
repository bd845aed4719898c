package alloc

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-run/steppe/client/clienttest"
	"github.com/steppe-run/steppe/client/local"
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

// What the driver was asked to start may have run already when the restart
// breaks it off: it counts like any other.
func TestRestartOfAllTasksCountsAStartThatItBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := live(t, "service", "init[pre] web", nil)
		defer l.stops["a1"]()
		release := l.driver.HoldStart()
		l.exit("init", 0)
		if err := l.run.RestartAll("asked"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		release()
		synctest.Wait()
		l.exit("init", 0)
		for _, name := range []string{"init", "web"} {
			if s := l.run.Task(name).State(); s.Restarts != 1 || s.LastRestart.IsZero() {
				t.Errorf("%s: %d restarts, the last at %s", name, s.Restarts, s.LastRestart)
			}
		}
		if n := l.startsOf("web"); n != 2 || l.run.Task("web").State().State != "running" {
			t.Errorf("%d starts, %s", n, l.run.Task("web").State().State)
		}
	})
}

// An agent that died meanwhile would take the tasks' end for the allocation's.
func TestRestartOfAllTasksThatCannotBeWrittenDownIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := live(t, "service", "web", nil)
		defer l.stops["a1"]()
		l.memory.Fail(syscall.ENOSPC)
		if err := l.run.RestartAll("asked"); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		l.saw("left alone", "0s start web")
		if s := l.run.Status(); s.ClientStatus != "running" || s.TaskStates["web"].Restarts != 0 {
			t.Errorf("%s, %d restarts", s.ClientStatus, s.TaskStates["web"].Restarts)
		}
		l.memory.Fail(nil)
		if err := l.run.RestartAll("asked"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.saw("restarted", "0s stop web 5s\n0s start web")
	})
}

// turns is a memory that looks whether it is told one thing after the other.
type turns struct {
	*clienttest.Memory
	look func()
}

func (m turns) PutAlloc(a *local.Alloc) error {
	m.look()
	return m.Memory.PutAlloc(a)
}

// What was true earlier must not be written over what is true now.
func TestAllocationIsWrittenDownInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := live(t, "service", "web", func(l *life) {
			l.host.Memory = turns{l.memory, func() {
				if r := l.runners["a1"]; r != nil && r.saving.TryLock() {
					r.saving.Unlock()
					t.Error("the allocation can be written down by two at once")
				}
			}}
		})
		defer l.stops["a1"]()
		if err := l.run.RestartAll("asked"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := l.run.Update(l.run.Alloc().Clone()); err != nil {
			t.Fatal(err)
		}
		if l.memory.Alloc("a1").Again {
			t.Error("it is still written down as to be begun again")
		}
	})
}

// The wish may come from a look at the tasks that is no longer true.
func TestGroupThatCleansUpIsNotBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := live(t, "batch", "sum clean[stop]", nil)
		defer l.stops["a1"]()
		before := survey(l.run.Views())
		l.exit("sum", 0)
		if _, err := l.run.wishAgain(before); !errors.Is(err, task.ErrNotRunning) {
			t.Errorf("error %v", err)
		}
		l.over()
		l.saw("done", "0s start sum\n0s start clean\n0s over: complete")
	})
}

func TestGroupThatHasRunTooLongIsNotBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := live(t, "batch", "sum", func(l *life) {
			l.group.MaxRunDuration = p(time.Minute)
			l.driver.Slow("sum", 3*time.Second)
		})
		defer l.stops["a1"]()
		l.pass(61 * time.Second)
		if err := l.run.RestartAll("asked"); !errors.Is(err, task.ErrNotRunning) {
			t.Errorf("error %v", err)
		}
		l.over()
		l.saw("done", "0s start sum\n1m0s stop sum 5s\n1m3s over: failed")
	})
}

// Its time counts from the new beginning, and its services come back.
func TestRestartOfAllTasksOutlastsTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := live(t, "batch", "sum", func(l *life) {
			l.serves("")
			l.group.MaxRunDuration = p(time.Minute)
			l.driver.Slow("sum", 3*time.Second)
		})
		defer l.stops["a1"]()
		l.pass(59 * time.Second)
		if err := l.run.RestartAll("asked"); err != nil {
			t.Fatal(err)
		}
		l.pass(4 * time.Second)
		l.saw("begun again", "0s join group\n0s start sum\n59s leave group\n59s stop sum 5s\n1m2s start sum\n1m2s join group")
	})
}
