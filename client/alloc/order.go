package alloc

import (
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/structs"
)

// View is one task of the group as it is.
type View struct {
	Task  *structs.Task
	State *structs.TaskState
}

func (v View) dead() bool    { return v.State.State == structs.TaskStateDead }
func (v View) running() bool { return v.State.State == structs.TaskStateRunning }
func (v View) failed() bool  { return v.dead() && v.State.Failed }
func (v View) started() bool { return !v.State.StartedAt.IsZero() }
func (v View) sidecar() bool { return v.Task.Lifecycle != nil && v.Task.Lifecycle.Sidecar }

// once reports whether the task runs to its end and is then done.
func (v View) once() bool { return v.Task.Lifecycle != nil && !v.Task.Lifecycle.Sidecar }

// Orders is what the tasks of a group are told.
type Orders struct {
	// Open are the tasks that may start. The order stays open.
	Open []string
	// Kill are the tasks that have to end, with the reason.
	Kill map[string]*structs.TaskEvent
	// Done says that every task is dead.
	Done bool
	// Renew says that everything has ended so that it can begin again.
	Renew bool
}

// Aim is what is to become of a group as a whole.
type Aim string

// The aims.
const (
	AimRun  Aim = "run"  // it shall run
	AimHold Aim = "hold" // it shall end, but not yet: nothing new is started
	AimEnd  Aim = "end"  // it shall end now
	// AimAgain: it shall end now, but for its poststop tasks, and then begin
	// again with every task.
	AimAgain Aim = "again"
)

// Order decides which tasks of a group may start and which must end, from
// what they are and how they stand.
func Order(views []View, aim Aim) Orders {
	o := Orders{Kill: map[string]*structs.TaskEvent{}}
	f := survey(views)
	o.Done = f.allDead && aim != AimAgain
	o.Renew = f.restDead && aim == AimAgain
	for _, v := range views {
		if v.dead() {
			continue
		}
		if f.mayStart(v, aim) {
			o.Open = append(o.Open, v.Task.Name)
		}
		if event, kill := f.mustEnd(v, aim); kill {
			o.Kill[v.Task.Name] = event
		}
	}
	return o
}

// facts are what the order of a group depends on.
type facts struct {
	allDead      bool
	prestartDone bool   // every prestart task is done or, as a sidecar, up
	mainsStarted bool   // every main task was started
	mainsDead    bool   // every main task has ended
	restDead     bool   // all but poststop tasks have ended
	leaderAlive  bool   // there is a leader and it hasn't ended
	leaderDead   bool   // there is a leader and it has ended
	failed       string // a task that failed, poststop tasks aside
}

func survey(views []View) facts {
	f := facts{allDead: true, prestartDone: true, mainsStarted: true, mainsDead: true, restDead: true}
	for _, v := range views {
		f.allDead = f.allDead && v.dead()
		if v.Task.Leader {
			f.leaderDead, f.leaderAlive = v.dead(), !v.dead()
		}
		if v.Task.IsPoststop() {
			continue
		}
		f.restDead = f.restDead && v.dead()
		if v.failed() && f.failed == "" {
			f.failed = v.Task.Name
		}
		switch {
		case v.Task.IsPrestart() && v.sidecar():
			f.prestartDone = f.prestartDone && v.started()
		case v.Task.IsPrestart():
			f.prestartDone = f.prestartDone && v.dead() && !v.State.Failed
		case v.Task.IsMain():
			f.mainsStarted = f.mainsStarted && v.started()
			f.mainsDead = f.mainsDead && v.dead()
		}
	}
	return f
}

func (f facts) mayStart(v View, aim Aim) bool {
	switch {
	case v.Task.IsPoststop():
		return f.restDead && aim != AimAgain
	case aim != AimRun:
		return false
	case v.Task.IsPrestart():
		return true
	case v.Task.IsPoststart():
		return f.prestartDone && f.mainsStarted
	default:
		return f.prestartDone
	}
}

// mustEnd says whether a task that isn't dead has to end. A leader ends
// before its followers, and sidecars after the tasks they serve.
func (f facts) mustEnd(v View, aim Aim) (*structs.TaskEvent, bool) {
	switch {
	case v.Task.IsPoststop():
		return nil, false
	case f.failed != "":
		return task.SiblingFailed(f.failed), true
	case f.leaderDead:
		return task.LeaderDead(), true
	case f.mainsDead && (v.sidecar() || v.Task.IsPoststart()):
		return task.MainDead(), true
	case aim != AimEnd && aim != AimAgain:
		return nil, false
	case f.leaderAlive:
		return nil, v.Task.Leader
	case v.sidecar():
		return nil, f.mainsDead
	default:
		return nil, true
	}
}

// Status derives the allocation's client status from its tasks. It is
// terminal only once every task is dead: until then the resources are in use.
func Status(views []View) (status, description string) {
	allDead, anyRunning, anyFailed, mainsDead, waits := true, false, false, true, false
	for _, v := range views {
		waits = waits || v.started() && !v.dead() && !v.running()
		allDead = allDead && v.dead()
		anyRunning = anyRunning || v.running()
		anyFailed = anyFailed || v.failed()
		if v.Task.IsMain() {
			mainsDead = mainsDead && v.dead()
		}
	}
	switch {
	case allDead && anyFailed:
		return structs.AllocClientFailed, "Failed tasks"
	case allDead:
		return structs.AllocClientComplete, "All tasks have completed"
	case anyRunning || mainsDead:
		return structs.AllocClientRunning, "Tasks are running"
	case waits:
		return structs.AllocClientPending, "Tasks wait to be started again"
	default:
		return structs.AllocClientPending, "No tasks have started"
	}
}
