package alloc

import (
	"fmt"
	"sort"
	"strconv"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

func taskNames(a *structs.Allocation) []string {
	var names []string
	for name := range a.TaskStates {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func lifecycle(a *structs.Allocation, task string) string {
	if t := specOf(a, task); t != nil && t.Lifecycle != nil {
		return t.Lifecycle.Hook
	}
	return "main"
}

func specOf(a *structs.Allocation, task string) *structs.Task {
	if a.Job == nil {
		return nil
	}
	group := a.Job.LookupTaskGroup(a.TaskGroup)
	if group == nil {
		return nil
	}
	for _, t := range group.Tasks {
		if t.Name == task {
			return t
		}
	}
	return nil
}

func taskTable(a *structs.Allocation) string {
	var rows [][]string
	for _, name := range taskNames(a) {
		state := a.TaskStates[name]
		event, at := "", ""
		if n := len(state.Events); n > 0 {
			event, at = state.Events[n-1].Type, view.Nanos(state.Events[n-1].Time)
		}
		rows = append(rows, []string{name, state.State, event, at, lifecycle(a, name)})
	}
	return view.Table([]string{"Name", "State", "Last Event", "Time", "Lifecycle"}, rows)
}

func showTask(c *connect.Call, a *structs.Allocation, name string, usage *structs.AllocResourceUsage) {
	state := a.TaskStates[name]
	hook := ""
	if l := lifecycle(a, name); l != "main" {
		hook = " (" + l + ")"
	}
	c.Printf("\nTask %q%s is %q\n", view.Clean(name), hook, state.State)
	c.Printf("Task Resources:\n%s", resourceTable(a, name, usage))
	if c.Bool("stats") && usage != nil && usage.Tasks[name] != nil {
		c.Printf("%s", statsTables(usage.Tasks[name].ResourceUsage))
	}
	c.Printf("\nTask Events:\n%s", view.Keys([]view.Pair{
		{Key: "Started At", Value: view.Time(state.StartedAt)}, {Key: "Finished At", Value: view.Time(state.FinishedAt)},
		{Key: "Total Restarts", Value: strconv.FormatUint(state.Restarts, 10)}, {Key: "Last Restart", Value: view.Time(state.LastRestart)},
	}))
	var rows [][]string
	for i := len(state.Events) - 1; i >= 0; i-- {
		e := state.Events[i]
		rows = append(rows, []string{view.Nanos(e.Time), e.Type, e.DisplayMessage})
	}
	c.Printf("\nRecent Events:\n%s", view.Table([]string{"Time", "Type", "Description"}, rows))
}

func resourceTable(a *structs.Allocation, name string, usage *structs.AllocResourceUsage) string {
	var cpu, memory string
	if a.AllocatedResources != nil && a.AllocatedResources.Tasks[name] != nil {
		r := a.AllocatedResources.Tasks[name]
		cpu = fmt.Sprintf("%d MHz", r.Cpu.CpuShares)
		memory = view.Bytes(uint64(max(0, r.Memory.MemoryMB)) << 20)
	}
	if usage != nil && usage.Tasks[name] != nil && usage.Tasks[name].ResourceUsage != nil {
		u := usage.Tasks[name].ResourceUsage
		if u.CpuStats != nil {
			cpu = fmt.Sprintf("%.0f/%s", u.CpuStats.TotalTicks, cpu)
		}
		if u.MemoryStats != nil {
			memory = view.Bytes(max(u.MemoryStats.RSS, u.MemoryStats.Usage)) + "/" + memory
		}
	}
	disk := ""
	if a.AllocatedResources != nil {
		disk = view.Bytes(uint64(max(0, a.AllocatedResources.Shared.DiskMB)) << 20)
	}
	return view.Table([]string{"CPU", "Memory", "Disk", "Addresses"}, [][]string{{cpu, memory, disk, ""}})
}

func statsTables(u *structs.ResourceUsage) string {
	if u == nil {
		return ""
	}
	out := ""
	if m := u.MemoryStats; m != nil {
		out += "\nMemory Stats\n" + view.Table([]string{"RSS", "Swap"}, [][]string{{view.Bytes(m.RSS), view.Bytes(m.Swap)}})
	}
	if s := u.CpuStats; s != nil {
		percent := func(f float64) string { return fmt.Sprintf("%.2f%%", f) }
		out += "\nCPU Stats\n" + view.Table([]string{"Percent", "System Mode", "User Mode"},
			[][]string{{percent(s.Percent), percent(s.SystemMode), percent(s.UserMode)}})
	}
	return out
}
