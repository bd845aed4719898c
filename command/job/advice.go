package job

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/command/connect"
	"github.com/steppe-run/steppe/command/jobfile"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// adviseDrivers warns of drivers that no node has, as misspelt ones are. It is
// advice only: such a node may come yet, so what can't be read is passed over.
func adviseDrivers(ctx context.Context, c *connect.Call, src *jobfile.Source) {
	nodes, _, err := c.Client.Nodes(ctx, src.Query())
	if err != nil {
		return
	}
	for _, line := range driverAdvice(src.Job, driversOf(nodes)) {
		c.Errorf("Warning: %s\n", view.Clean(line))
	}
}

// driversOf are the names of the drivers that some node has.
func driversOf(nodes []*structs.NodeListStub) []string {
	var out []string
	for _, n := range nodes {
		for name, d := range n.Drivers {
			if d != nil && d.Detected && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// driverAdvice is a sentence for each task whose driver isn't known.
func driverAdvice(job *structs.Job, known []string) []string {
	if len(known) == 0 {
		return nil
	}
	var out []string
	for _, group := range job.TaskGroups {
		for _, task := range group.Tasks {
			if task.Driver == "" || slices.Contains(known, task.Driver) {
				continue
			}
			text := fmt.Sprintf("task %q: no node has the driver %q", task.Name, task.Driver)
			if near := nearDriver(task.Driver, known); near != "" {
				text += fmt.Sprintf(": did you mean %q?", near)
			} else {
				text += "; there are: " + strings.Join(known, ", ")
			}
			out = append(out, text)
		}
	}
	return out
}

// nearDriver is the known driver of almost this name, or of a name that says
// more.
func nearDriver(name string, known []string) string {
	if near := structs.Closest(name, known); near != "" {
		return near
	}
	for _, k := range known {
		if strings.Contains(k, strings.ToLower(name)) {
			return k
		}
	}
	return ""
}
