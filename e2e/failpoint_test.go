package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/failpoint"
	"github.com/steppe-run/steppe/internal/testx"
)

// deadly is the program with failpoints in it, built once.
var deadly = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workshop, "steppe-failpoints")
	build := exec.Command("go", "build", "-trimpath", "-tags", "failpoints", "-o", path, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build steppe with failpoints: %w\n%s", err, out)
	}
	return path, nil
})

// by says in which part of a task's life a point is come by.
type by string

const (
	byStart by = "start"
	byExit  by = "exit" // the task's process ends by itself
	byStop  by = "stop" // its job is stopped and swept
)

// deaths are all points with the part of life that leads there; few are those
// that every test run tries.
func deaths() []struct {
	point string
	by    by
	few   bool
} {
	type death = struct {
		point string
		by    by
		few   bool
	}
	at := func(p failpoint.Point, by by, few bool) death { return death{string(p), by, few} }
	nth := func(p failpoint.Point, n int, by by) death { return death{fmt.Sprintf("%s#%d", p, n), by, false} }
	return []death{
		at(failpoint.AllocRemembered, byStart, false), at(failpoint.AllocBuilt, byStart, false), at(failpoint.AllocPrepared, byStart, false),
		at(failpoint.DirMade, byStart, false), at(failpoint.DirMounted, byStart, false),
		at(failpoint.TaskIntended, byStart, true), at(failpoint.TaskStarted, byStart, true), at(failpoint.TaskNoted, byStart, false), at(failpoint.TaskLeft, byStart, false),
		at(failpoint.PluginStarting, byStart, false), at(failpoint.PluginForked, byStart, false), at(failpoint.PluginTold, byStart, true), at(failpoint.PluginReported, byStart, false),
		at(failpoint.KeeperCgroup, byStart, false), at(failpoint.KeeperForked, byStart, true), at(failpoint.KeeperWritten, byStart, false),
		nth(failpoint.MemoryCommit, 1, byStart), nth(failpoint.MemoryCommitted, 1, byStart), nth(failpoint.MemoryCommit, 4, byStart), nth(failpoint.MemoryCommitted, 4, byStart),
		nth(failpoint.MemoryCommit, 5, byStart), nth(failpoint.MemoryCommitted, 5, byStart),
		at(failpoint.KeeperEnded, byExit, false), at(failpoint.KeeperRecorded, byExit, true),
		at(failpoint.TaskDecided, byExit, false), at(failpoint.TaskBackoff, byExit, false), at(failpoint.PluginStopped, byExit, false), at(failpoint.PluginRemoved, byExit, false),
		at(failpoint.TaskStopIntended, byStop, true), at(failpoint.TaskStopped, byStop, false), at(failpoint.TaskReleased, byStop, false), at(failpoint.TaskBuried, byStop, false),
		at(failpoint.AllocConcluded, byStop, false), at(failpoint.DirUnmounted, byStop, true), at(failpoint.AllocRemoved, byStop, false), at(failpoint.AllocForgotten, byStop, false),
	}
}

// TestDeathAtEachInstant kills whoever comes by a point, at that point, and lets
// life go on: there is one task and no other, and in the end nothing.
// STEPPE_ALL_FAILPOINTS=1 tries every point.
func TestDeathAtEachInstant(t *testing.T) {
	for _, d := range deaths() {
		if !d.few && os.Getenv("STEPPE_ALL_FAILPOINTS") == "" {
			continue
		}
		t.Run(d.point, func(t *testing.T) {
			t.Parallel()
			program, err := deadly()
			if err != nil {
				t.Fatal(err)
			}
			a := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything)
			a.program = program
			l := &life{agent: a, mark: filepath.Join(a.dir, "died"), allocs: map[string]bool{}}
			a.env = []string{failpoint.PointEnv + "=" + d.point, failpoint.MarkEnv + "=" + l.mark}
			a.start()
			l.play(d.by)
		})
	}
}

// life is one life of a task with a death in it.
type life struct {
	*agent
	mark   string
	allocs map[string]bool // all that were seen
}

func (l *life) play(by by) {
	l.t.Helper()
	var job *api.Job
	l.until("the job is registered", func() bool {
		job = sleepJob("sleep", 1)
		_, _, err := l.client().Jobs().Register(job, nil)
		return err == nil
	})
	if by == byStart {
		l.until("somebody has died and one task runs", func() bool { return l.died() && l.one() })
	} else {
		l.until("one task runs", l.one)
	}
	if by == byExit {
		before := l.sleeping()[0]
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			l.t.Fatal(err)
		}
		l.until("somebody has died and another task runs", func() bool { return l.died() && l.one() && !slices.Contains(l.sleeping(), before) })
	}
	l.until("the job is gone", func() bool {
		_, _, err := l.client().Jobs().Deregister("sleep", true, nil)
		return err == nil
	})
	l.until("nothing of its tasks is left", func() bool {
		// Until the agent answers it may be dead, and what is left isn't settled.
		return l.client().System().GarbageCollect() == nil && (by != byStop || l.died()) && len(l.sleeping()) == 0 && l.left().tasksGone()
	})
	if err := l.stop(); err != nil {
		l.t.Errorf("the agent ended with %v", err)
	}
	l.assertGone(nil)
}

// until waits for done, whoever dies at the point meanwhile: an agent that did is
// started again. What ran when it died runs on.
func (l *life) until(what string, done func() bool) {
	l.t.Helper()
	defer func() {
		if l.t.Failed() {
			l.t.Logf("died: %v, processes %v, left: %+v", l.died(), l.sleeping(), l.left())
		}
	}()
	testx.Eventually(l.t, 60*time.Second, what, func() bool {
		select {
		case err := <-l.exited:
			if !l.died() {
				l.t.Fatal("the agent ended by itself: ", err)
			}
			before := l.sleeping()
			l.start()
			l.awaitLeader()
			l.awaitNodes(1)
			l.sameOrNone(before)
		default:
		}
		if now := l.sleeping(); len(now) > 1 {
			l.t.Fatalf("processes %v run, where one task was asked for", now)
		}
		return done()
	})
}

// sameOrNone fails if a task was replaced that ran when its agent died.
func (l *life) sameOrNone(before []int) {
	l.t.Helper()
	if now := l.sleeping(); len(before) == 1 && len(now) == 1 && now[0] != before[0] {
		l.t.Errorf("process %d ran when the agent died, and %d does now", before[0], now[0])
	}
}

func (l *life) died() bool {
	_, err := os.Stat(l.mark)
	return err == nil
}

// one reports whether the task runs, once, and the servers know.
func (l *life) one() bool {
	allocs, _, err := l.client().Jobs().Allocations("sleep", false, nil)
	running := 0
	for _, alloc := range allocs {
		l.allocs[alloc.ID] = true
		if s := alloc.TaskStates["sleep"]; alloc.ClientStatus == "running" && s != nil && s.State == "running" {
			running++
		}
	}
	return err == nil && running == 1 && len(l.sleeping()) == 1
}

// left is what there is of all allocations that were seen.
func (l *life) left() leftovers {
	dirs, err := filepath.Glob(filepath.Join(l.dir, "data", "alloc", "*"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, dir := range dirs {
		l.allocs[filepath.Base(dir)] = true
	}
	return l.look(slices.Collect(maps.Keys(l.allocs)))
}

// sleeping are the processes of the agent's tasks.
func (l *life) sleeping() []int { return processes(l.t, l.dir, "/bin/sleep 3600") }
