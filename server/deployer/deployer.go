// Package deployer brings deployments to their end: it lets the scheduler go
// on when allocations become healthy, replaces those that fail, promotes
// canaries that promote themselves, and finishes a deployment: successful when
// every group is healthy, failed at its deadline, reverted where asked for.
//
// A group's progress deadline counts from its first placement and anew from
// each allocation that becomes healthy. A deployment that waits for capacity
// has no more time than that: with nothing placed it counts from its creation.
//
// Where a deployment stands, who moves it and how long it may stay there (States
// and Exits tell the same, a test plays it and docs/deployments.md shows it):
//
//	scheduler: a version with canaries        scheduler: any other
//	        │                                         │
//	        ▼        nodes: all healthy               │
//	  ┌──────────┐ ─────────────────────► ┌───────────┐   user: promote    ┌─────────┐
//	  │ canaries │                        │ promotion │ ─────────────────► │ rolling │
//	  └──────────┘ ◄───────────────────── └───────────┘   auto_promote     └─────────┘
//	    │  ▲         nodes: one is lost      │  ▲                            │  ▲  │
//	    │  │                                 │  │                            │  │  │ all are
//	    ▼  │          user: pause, resume    ▼  │                            ▼  │  │ healthy
//	  ┌──────────────────────────────────────────────────────────────────────────┐ │
//	  │                                  paused                                  │ ▼
//	  └──────────────────────────────────────────────────────────────────────────┘ successful
//
//	deadline: progress_deadline for canaries and rolling; none for promotion and
//	paused, in which a person is waited for
//	from each of them:  failed      user: fail; canaries and rolling by themselves at
//	                                the deadline (auto_revert: back to a stable version)
//	                    cancelled   user: another version, or the job is stopped
//
// It must not know clocks, the log or the scheduler: a Step takes a view and
// the time and returns what to propose. Begin reading at Deployer.Step, then
// examine.
package deployer

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// View is what the deployer reads of the state.
type View interface {
	Deployment(id string) *structs.Deployment
	ActiveDeployments() iter.Seq[*structs.Deployment]
	Job(namespace, id string) *structs.Job
	JobVersions(namespace, id string) []*structs.Job
	Allocations
}

// Action is what a step wants done for one deployment.
type Action struct {
	DeploymentID string
	Command      command.Command
}

// Deployer remembers what it has done for each active deployment; all of it
// can be forgotten without harm.
type Deployer struct {
	newID   func() string
	watched map[string]*watch
}

type watch struct {
	dirty bool
	// scan asks for a look at each allocation, not only at the counters.
	scan bool
	// nudge asks for an evaluation even if nothing seems to have changed.
	nudge bool
	// healthy is the count at the last evaluation made here.
	healthy int
	// paused remembers a pause, for an evaluation when it ends.
	paused bool
	due    time.Time
}

// New returns a deployer; newID makes identifiers of evaluations.
func New(newID func() string) *Deployer {
	return &Deployer{newID: newID, watched: map[string]*watch{}}
}

// Reset forgets everything and looks at all active deployments in the next
// step. Each of them gets one evaluation, in case the last one was lost.
func (d *Deployer) Reset(v View) {
	d.watched = map[string]*watch{}
	for dep := range v.ActiveDeployments() {
		d.watched[dep.ID] = &watch{dirty: true, scan: true, nudge: true}
	}
}

// Note has the next step look at a deployment. With scan set, one of its
// allocations ended or failed.
func (d *Deployer) Note(deploymentID string, scan bool) {
	w := d.watched[deploymentID]
	if w == nil {
		w = &watch{}
		d.watched[deploymentID] = w
	}
	w.dirty = true
	w.scan = w.scan || scan
}

// Failed has the next step try again what could not be proposed.
func (d *Deployer) Failed(a Action) {
	d.Note(a.DeploymentID, true)
	d.watched[a.DeploymentID].nudge = true
}

// Len is how many deployments are watched.
func (d *Deployer) Len() int { return len(d.watched) }

// Step looks at the deployments that changed or are due, and returns what is
// to be proposed and when the next one is due (zero: when something changes).
func (d *Deployer) Step(v View, now time.Time) (actions []Action, wake time.Time) {
	for _, id := range slices.Sorted(maps.Keys(d.watched)) {
		w := d.watched[id]
		if w.dirty || !w.due.IsZero() && !w.due.After(now) {
			d.look(v, id, w, now, &actions)
		}
		if !w.due.IsZero() && (wake.IsZero() || w.due.Before(wake)) {
			wake = w.due
		}
	}
	return actions, wake
}

func (d *Deployer) look(v View, id string, w *watch, now time.Time, actions *[]Action) {
	w.dirty, w.due = false, time.Time{}
	dep := v.Deployment(id)
	if !dep.Active() {
		delete(d.watched, id)
		return
	}
	x := examination{v: v, dep: dep, job: v.Job(dep.Namespace, dep.JobID), w: w, now: now, newID: d.newID}
	if c := x.examine(); c != nil {
		*actions = append(*actions, Action{DeploymentID: id, Command: c})
	}
}
