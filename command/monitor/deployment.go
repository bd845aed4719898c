package monitor

import (
	"context"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-run/steppe/api"
	"github.com/steppe-run/steppe/command/term"
	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// lookEvery is how often a deployment's allocations are looked at while it
// doesn't change itself.
const lookEvery = 2 * time.Second

// Deployment follows a deployment until it ends. A deployment that fails or is
// cancelled gives exit code 1, unless that is what was asked for. What goes wrong with its allocations is shown as
// soon as it is known.
func (m *Monitor) Deployment(ctx context.Context, id string) error {
	m.title("Monitoring deployment %q", m.id(id))
	painter := &painter{streams: m.Streams, live: m.Streams.OutIsTerminal()}
	failures := &failures{Monitor: m, told: map[string]bool{}}
	var index uint64
	last := ""
	for {
		d, meta, err := m.Client.Deployment(ctx, id, &api.Query{WaitIndex: index, WaitTime: lookEvery})
		if err != nil {
			return term.Fail("Error reading deployment: %v", err)
		}
		index = meta.Index
		allocs, _, err := m.Client.DeploymentAllocations(ctx, id, nil)
		if err != nil {
			return term.Fail("Error reading allocations: %v", err)
		}
		block := DeploymentBlock(d, m.Verbose)
		if m.Verbose {
			block += view.Section("Allocations", Allocations(allocs, m.Streams.Clock.Now(), true), false)
		}
		if block != last {
			last = block
			painter.paint("    \n    " + m.now() + "\n" + indent(block))
		}
		if d.Status == structs.DeploymentStatusSuccessful || d.Status == m.Wanted {
			return nil
		}
		if failures.tell(ctx, allocs, d.Status == structs.DeploymentStatusFailed) {
			painter.lines = 0 // what was told stays
		}
		switch d.Status {
		case structs.DeploymentStatusFailed, structs.DeploymentStatusCancelled:
			return &term.Exit{Code: 1}
		}
	}
}

// TellIfPaused tells a person, of a deployment that was promoted while it is
// paused, how it goes on, and reports whether that was so: then nothing is there
// to follow.
func TellIfPaused(s term.Streams, d *structs.Deployment) bool {
	if d.Status != structs.DeploymentStatusPaused {
		return false
	}
	s.Printf("Deployment %q is promoted, but paused: it goes on once it is resumed with\n  steppe deployment resume %[1]s\n", d.ID)
	return true
}

// DeploymentBlock shows a deployment as key lines and a table of its groups.
func DeploymentBlock(d *structs.Deployment, verbose bool) string {
	keys := view.Keys([]view.Pair{
		{Key: "ID", Value: view.ID(d.ID, verbose)},
		{Key: "Job ID", Value: d.JobID},
		{Key: "Job Version", Value: strconv.FormatUint(d.JobVersion, 10)},
		{Key: "Status", Value: d.Status},
		{Key: "Description", Value: d.StatusDescription},
	})
	if len(d.TaskGroups) == 0 {
		return keys
	}
	return keys + view.Section("Deployed", DeployedTable(d), false)
}

// DeployedTable shows how far each group of a deployment is.
func DeployedTable(d *structs.Deployment) string {
	canaries := false
	names := make([]string, 0, len(d.TaskGroups))
	for name, state := range d.TaskGroups {
		names = append(names, name)
		canaries = canaries || state.DesiredCanaries > 0
	}
	sort.Strings(names)
	headings := []string{"Task Group", "Desired", "Placed", "Healthy", "Unhealthy", "Progress Deadline"}
	if canaries {
		headings = []string{"Task Group", "Promoted", "Desired", "Canaries", "Placed", "Healthy", "Unhealthy", "Progress Deadline"}
	}
	var rows [][]string
	for _, name := range names {
		s := d.TaskGroups[name]
		row := []string{name}
		if canaries {
			row = append(row, view.Bool(s.Promoted))
		}
		row = append(row, strconv.Itoa(s.DesiredTotal))
		if canaries {
			row = append(row, strconv.Itoa(s.DesiredCanaries))
		}
		rows = append(rows, append(row, strconv.Itoa(s.PlacedAllocs), strconv.Itoa(s.HealthyAllocs),
			strconv.Itoa(s.UnhealthyAllocs), view.Time(s.RequireProgressBy)))
	}
	return view.Table(headings, rows)
}

func indent(block string) string {
	lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "    " + line
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// painter prints blocks one below the other, or in place on a terminal.
type painter struct {
	streams term.Streams
	live    bool
	lines   int
}

func (p *painter) paint(block string) {
	if p.live && p.lines > 0 {
		p.streams.Printf("\x1b[%dA\x1b[J", p.lines)
	}
	p.lines = strings.Count(block, "\n")
	p.streams.Printf("%s", block)
}

// Deployments lists deployments, newest first.
func Deployments(all []*structs.Deployment, verbose bool) string {
	if len(all) == 0 {
		return "No deployments found\n"
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].CreateIndex > all[j].CreateIndex })
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{view.ID(d.ID, verbose), d.JobID, strconv.FormatUint(d.JobVersion, 10), d.Status, d.StatusDescription})
	}
	return view.Table([]string{"ID", "Job ID", "Job Version", "Status", "Description"}, rows)
}
