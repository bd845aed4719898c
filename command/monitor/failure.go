package monitor

import (
	"context"
	"strings"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

const (
	shownAllocs   = 3    // how many unhealthy allocations are explained
	shownEvents   = 3    // of each of their tasks
	shownLogLines = 10   // of each of their tasks
	readLogBytes  = 8192 // from the log's end
)

// explainFailure shows why a deployment failed: for some of its unhealthy
// allocations the last events of each task and the last lines it wrote.
func (m *Monitor) explainFailure(ctx context.Context, d *structs.Deployment) {
	allocs, _, err := m.Client.DeploymentAllocations(ctx, d.ID, nil)
	if err != nil {
		m.Streams.Errorf("The allocations can't be read: %v\n", err)
		return
	}
	shown := 0
	for _, a := range allocs {
		if !unhealthy(a) || shown == shownAllocs {
			continue
		}
		shown++
		m.title("Allocation %q of group %q is unhealthy", m.id(a.ID), a.TaskGroup)
		for task, state := range a.TaskStates {
			m.detail("Task %q is %q", task, state.State)
			for _, e := range tellingEvents(state.Events) {
				m.Streams.Printf("      * %s: %s\n", view.Clean(e.Type), view.Clean(e.DisplayMessage))
			}
			m.showLog(ctx, a.ID, task)
		}
	}
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
