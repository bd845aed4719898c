package task

// Desired is what others want of a task.
type Desired struct {
	// Gate is open once the task's place in the group's order has come.
	Gate bool
	// Stop asks for the end; it is never taken back.
	Stop bool
	// Restart asks for an end and a new start; it is taken back when done.
	Restart bool
}

// Phase is how far a task has come.
type Phase string

// The phases, in the order in which a task goes through them. A restart goes
// from PhaseExited to PhaseBackoff and from there to PhaseRunning.
const (
	PhaseNew      Phase = "new"      // nothing was done yet
	PhasePrepared Phase = "prepared" // directories and environment are ready
	PhaseRunning  Phase = "running"  // the driver runs it
	PhaseExited   Phase = "exited"   // it ended; what follows is not decided
	PhaseBackoff  Phase = "backoff"  // it waits for its next start
	PhaseDead     Phase = "dead"     // it won't run again
)

// Observed is what is known of a task.
type Observed struct {
	Phase Phase
	// Due says that the wait of PhaseBackoff is over.
	Due bool
}

// Action is what to do next.
type Action string

// The actions.
const (
	ActWait    Action = "wait"    // until something changes
	ActPrepare Action = "prepare" // → prepared, or dead
	ActStart   Action = "start"   // → running, exited or dead
	ActKill    Action = "kill"    // → exited
	ActDecide  Action = "decide"  // → backoff, or dead
	ActFinish  Action = "finish"  // → dead
	ActReturn  Action = "return"  // nothing is left to do
)

// Step says what to do next. It is the whole of a task's logic: whatever
// happened to the agent in between, the next action follows from what is
// wanted and what is the case.
func Step(d Desired, o Observed) Action {
	switch o.Phase {
	case PhaseDead:
		return ActReturn
	case PhaseRunning:
		if d.Stop || d.Restart {
			return ActKill
		}
		return ActWait
	case PhaseExited:
		if d.Stop {
			return ActFinish
		}
		return ActDecide
	}
	switch {
	case d.Stop:
		return ActFinish
	case o.Phase == PhaseNew && d.Gate:
		return ActPrepare
	case o.Phase == PhasePrepared:
		return ActStart
	case o.Phase == PhaseBackoff && (o.Due || d.Restart):
		return ActStart
	}
	return ActWait
}
