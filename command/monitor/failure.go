package monitor

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

const (
	shownFailures = 6    // how many are explained
	shownEvents   = 3    // of each of their tasks
	shownLogLines = 10   // of each of their tasks
	readLogBytes  = 8192 // from the log's end
)

// failures tells, once each, what goes wrong with the allocations of a
// deployment: first that a task can't be started, then the verdict and why.
type failures struct {
	*Monitor
	told  map[string]bool
	shown int
}

// tell explains what wasn't yet and reports whether there was any. Once the
// deployment has failed, also those count that never became healthy.
func (f *failures) tell(ctx context.Context, allocs []*structs.AllocationListStub, failed bool) bool {
	before := f.shown
	for _, a := range allocs {
		switch {
		case unhealthy(a):
			f.once(a.ID+" unhealthy", func() {
				f.title("Allocation %q of group %q is unhealthy%s", f.id(a.ID), a.TaskGroup, why(a))
				f.checks(ctx, a.ID)
				f.tasks(a, func(task string) { f.showLog(ctx, a.ID, task) })
			})
		case troubled(a):
			f.once(a.ID+" troubled", func() {
				f.title("Allocation %q of group %q has a task that can't start", f.id(a.ID), a.TaskGroup)
				f.tasks(a, func(string) {})
			})
		case failed && undecided(a):
			f.once(a.ID+" undecided", func() {
				f.title("Allocation %q of group %q was not healthy in time", f.id(a.ID), a.TaskGroup)
				f.checks(ctx, a.ID)
				f.tasks(a, func(task string) { f.showLog(ctx, a.ID, task) })
			})
		}
	}
	return f.shown > before
}

// once explains one thing, if it is new and not one too many.
func (f *failures) once(key string, explain func()) {
	if f.told[key] || f.shown == shownFailures {
		return
	}
	f.told[key] = true
	f.shown++
	explain()
}

// why is the reason that the node gave for its verdict, after a colon.
func why(a *structs.AllocationListStub) string {
	for _, state := range a.TaskStates {
		for _, e := range state.Events {
			if e.Type == eventUnhealthy {
				return strings.TrimPrefix(e.DisplayMessage, "Allocation is unhealthy")
			}
		}
	}
	return ""
}

// checks shows what the checks that don't pass answered last, if the node can
// be asked.
func (f *failures) checks(ctx context.Context, allocID string) {
	found, err := f.Client.AllocationChecks(ctx, allocID, nil)
	if err != nil {
		return // the node may be gone
	}
	var lines []string
	for _, check := range found {
		if check.Status == structs.CheckStatusSuccess {
			continue
		}
		output := strings.Join(view.Lines(check.Output), " ")
		lines = append(lines, fmt.Sprintf("Check %q of service %q: %s: %s", check.Check, check.Service, check.Status, output))
	}
	sort.Strings(lines)
	for _, line := range lines {
		f.Streams.Printf("      * %s\n", view.Clean(strings.TrimSuffix(line, ": ")))
	}
}

func (f *failures) tasks(a *structs.AllocationListStub, after func(task string)) {
	names := make([]string, 0, len(a.TaskStates))
	for name := range a.TaskStates {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, task := range names {
		state := a.TaskStates[task]
		f.detail("Task %q is %q", task, state.State)
		for _, e := range tellingEvents(state.Events) {
			f.event(e)
		}
		after(task)
	}
}

// event shows an event; a text of several lines stands below its first.
func (f *failures) event(e *structs.TaskEvent) {
	lines := view.Lines(e.DisplayMessage)
	if len(lines) == 0 {
		lines = []string{""}
	}
	f.Streams.Printf("      * %s: %s\n", view.Clean(e.Type), lines[0])
	for _, line := range lines[1:] {
		f.Streams.Printf("          %s\n", line)
	}
}

// troubled tells whether a task of the allocation could not be started, be it
// that it is tried again.
func troubled(a *structs.AllocationListStub) bool {
	for _, state := range a.TaskStates {
		if state.State == structs.TaskStateRunning {
			continue
		}
		for _, e := range state.Events {
			switch e.Type {
			case structs.TaskDriverFailure, structs.TaskFailedValidation, structs.TaskSetupFailure, structs.TaskHookFailed, structs.TaskArtifactDownloadFailed:
				return true
			}
		}
	}
	return false
}

// undecided tells whether an allocation that is to run is neither healthy nor
// unhealthy.
func undecided(a *structs.AllocationListStub) bool {
	return a.DesiredStatus == structs.AllocDesiredRun && (a.DeploymentStatus == nil || a.DeploymentStatus.Healthy == nil)
}

// eventUnhealthy is the event by which a node tells its verdict.
const eventUnhealthy = "Alloc Unhealthy"

// tellingEvents are the last events of a task but the one that only says that
// its allocation is unhealthy: the title says so already.
func tellingEvents(all []*structs.TaskEvent) []*structs.TaskEvent {
	var out []*structs.TaskEvent
	for _, e := range all {
		if e.Type != eventUnhealthy {
			out = append(out, e)
		}
	}
	return out[max(0, len(out)-shownEvents):]
}

func unhealthy(a *structs.AllocationListStub) bool {
	if a.ClientStatus == structs.AllocClientFailed {
		return true
	}
	return a.DeploymentStatus != nil && a.DeploymentStatus.Healthy != nil && !*a.DeploymentStatus.Healthy
}

func (m *Monitor) showLog(ctx context.Context, allocID, task string) {
	for _, kind := range []string{"stdout", "stderr"} {
		var text strings.Builder
		options := api.StreamOptions{Origin: "end", Offset: readLogBytes}
		err := m.Client.Logs(ctx, allocID, task, kind, options, func(frame *structs.StreamFrame) error {
			text.Write(frame.Data)
			return nil
		})
		if err != nil || text.Len() == 0 {
			continue // no log is no news: the node may be gone
		}
		lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
		m.Streams.Printf("      last lines of %s:\n", kind)
		for _, line := range lines[max(0, len(lines)-shownLogLines):] {
			m.Streams.Printf("      | %s\n", view.Clean(line))
		}
	}
}
