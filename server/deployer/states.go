package deployer

import (
	"iter"

	"github.com/steppe-run/steppe/structs"
)

// State is where a deployment stands: more than its status, since one that runs
// waits for different things.
type State string

// The states that are not over are explained at States.
const (
	StateNone       State = "-" // before it is made
	StateCanaries   State = "canaries"
	StatePromotion  State = "promotion"
	StateRolling    State = "rolling"
	StatePaused     State = "paused"
	StateSuccessful State = structs.DeploymentStatusSuccessful
	StateFailed     State = structs.DeploymentStatusFailed
	StateCancelled  State = structs.DeploymentStatusCancelled
)

// Who moves a deployment.
const (
	MoverScheduler = "scheduler" // an evaluation of the job
	MoverNodes     = "nodes"     // by what they report
	MoverDeployer  = "deployer"  // by itself: this room
	MoverUser      = "user"
)

// StateInfo explains one state.
type StateInfo struct {
	State State
	// Waits is what it waits for, Deadline how long at most.
	Waits, Deadline string
}

// Exit is a way from one state into another.
type Exit struct {
	From, To State
	Mover    string
	When     string
}

// States are those in which a deployment isn't over.
func States() []StateInfo {
	const progress = "progress_deadline, anew from each allocation that becomes healthy"
	return []StateInfo{
		{StateCanaries, "all canaries healthy", progress},
		{StatePromotion, "a promotion", "none: a person is waited for, unless it promotes itself (auto_promote: at once)"},
		{StateRolling, "every group healthy at its count", progress},
		{StatePaused, "a user who resumes it", "none: a person is waited for; resumed, it has its whole progress_deadline again"},
	}
}

// Exits are all ways that there are. Each state has one that a user can take, and
// each that waits for machines one that needs nobody.
func Exits() []Exit {
	out := []Exit{
		{StateNone, StateCanaries, MoverScheduler, "a new version with canaries replaces allocations"},
		{StateNone, StateRolling, MoverScheduler, "a new version without canaries, or the first one of a job"},
		{StateCanaries, StatePromotion, MoverNodes, "the last canary becomes healthy"},
		{StatePromotion, StateCanaries, MoverNodes, "a canary is lost or fails"},
		{StatePromotion, StateRolling, MoverUser, "promote"},
		{StatePromotion, StateRolling, MoverDeployer, "auto_promote of every group that waits"},
		{StateRolling, StateSuccessful, MoverDeployer, "every group is healthy at its count; the version is stable"},
		{StateCanaries, StateFailed, MoverDeployer, "the deadline, or the first unhealthy one if it is 0"},
		{StatePromotion, StateFailed, MoverDeployer, "the deadline of a group without canaries"},
		{StateRolling, StateFailed, MoverDeployer, "the deadline, or the first unhealthy one if it is 0"},
		{StatePaused, StateCanaries, MoverUser, "resume"},
		{StatePaused, StatePromotion, MoverUser, "resume"},
		{StatePaused, StateRolling, MoverUser, "resume"},
	}
	for _, s := range States() {
		if s.State != StatePaused {
			out = append(out, Exit{s.State, StatePaused, MoverUser, "pause"})
		}
		out = append(out,
			Exit{s.State, StateFailed, MoverUser, "fail; with auto_revert the latest stable version is registered again"},
			Exit{s.State, StateCancelled, MoverUser, "another version is registered, or the job is stopped or purged"},
		)
	}
	return out
}

// Allocations of a deployment, as StateOf reads them.
type Allocations interface {
	AllocsByDeployment(id string) iter.Seq[*structs.Allocation]
}

// StateOf says where a deployment stands, StateNone if there is none. One that
// waits for another region, which nothing here makes, stands where it would without.
func StateOf(v Allocations, dep *structs.Deployment) State {
	switch {
	case dep == nil:
		return StateNone
	case !dep.Active():
		return State(dep.Status)
	case dep.Status == structs.DeploymentStatusPaused:
		return StatePaused
	}
	x := examination{dep: dep, w: &watch{}}
	out := StateRolling
	for name, st := range dep.TaskGroups {
		if !awaitsPromotion(st) {
			continue
		}
		if x.groups == nil {
			x.scan(v)
		}
		if x.groups[name].canaries < st.DesiredCanaries {
			return StateCanaries
		}
		out = StatePromotion
	}
	return out
}
