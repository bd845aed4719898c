package monitor

import (
	"sort"
	"strconv"
	"time"

	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// Waits says what an allocation waits for that is to leave its node, the last
// healthy one of its group; "" if it doesn't.
func Waits(a *structs.Allocation) string {
	if what := a.WaitsFor(); what != "" {
		return "waits for " + what
	}
	return ""
}

// Allocations shows a table of allocations, newest first.
func Allocations(allocs []*structs.AllocationListStub, now time.Time, verbose bool) string {
	return allocations(allocs, now, verbose, verbose)
}

// NodeAllocations is Allocations for one node: its name is known.
func NodeAllocations(allocs []*structs.AllocationListStub, now time.Time, verbose bool) string {
	return allocations(allocs, now, verbose, false)
}

func allocations(allocs []*structs.AllocationListStub, now time.Time, verbose, named bool) string {
	if len(allocs) == 0 {
		return "No allocations placed\n"
	}
	sorted := append([]*structs.AllocationListStub(nil), allocs...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].CreateIndex > sorted[j].CreateIndex })
	headings := []string{"ID"}
	if verbose {
		headings = append(headings, "Eval ID")
	}
	headings = append(headings, "Node ID")
	if named {
		headings = append(headings, "Node Name")
	}
	headings = append(headings, "Task Group", "Version", "Desired", "Status", "Created", "Modified")
	var rows [][]string
	for _, a := range sorted {
		row := []string{view.ID(a.ID, verbose)}
		if verbose {
			row = append(row, a.EvalID)
		}
		row = append(row, view.ID(a.NodeID, verbose))
		if named {
			row = append(row, a.NodeName)
		}
		rows = append(rows, append(row, a.TaskGroup, strconv.FormatUint(a.JobVersion, 10), a.DesiredStatus, a.ClientStatus,
			view.Ago(time.Unix(0, a.CreateTime), now, verbose), view.Ago(time.Unix(0, a.ModifyTime), now, verbose)))
	}
	return view.Table(headings, rows)
}
