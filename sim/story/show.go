package story

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// answer compares what is told with the answer that the story has.
func (p *Play) answer(text string) error {
	if p.options.Rewrite {
		p.line.Answer = text
		return nil
	}
	for line := range strings.Lines(text) {
		p.trace("          | %s", line)
	}
	if p.line.Answer != "" && text != p.line.Answer {
		return fmt.Errorf("want\n%sgot\n%s", p.line.Answer, text)
	}
	return nil
}

// tally counts lines that are alike.
type tally map[string]int

func (t tally) add(line string) { t[line]++ }

func (t tally) write(b *strings.Builder, format string) {
	for _, line := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(b, format, t[line], line)
	}
}

// show tells of a job what a person would ask about.
func show(s *state.Snapshot, name string) string {
	job := s.Job(ns, name)
	if job == nil {
		return "no such job\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "job %s version %d: %s\n", name, job.GetVersion(), job.GetStatus())
	if told := structs.Value(job.StatusDescription); told != "" {
		fmt.Fprintf(&b, "told: %s\n", told)
	}
	if d := s.LatestDeployment(ns, name); d != nil {
		fmt.Fprintf(&b, "deployment of version %d: %s: %s\n", d.JobVersion, d.Status, d.StatusDescription)
	}
	showChildren(&b, s, job)
	allocs := tally{}
	for a := range s.AllocsByJob(ns, name) {
		allocs.add(describe(a, len(job.TaskGroups) > 1))
	}
	allocs.write(&b, "%d of %s\n")
	return b.String()
}

func describe(a *structs.Allocation, group bool) string {
	text := fmt.Sprintf("version %d %s/%s", a.JobVersion(), a.DesiredStatus, a.ClientStatus)
	if group {
		text = "group " + a.TaskGroup + " " + text
	}
	if a.DeploymentStatus.IsCanary() {
		text += " canary"
	}
	if a.DesiredDescription != "" {
		text += ": " + a.DesiredDescription
	}
	return text
}

// showNodes tells of each node how it stands, and what runs there.
func showNodes(s *state.Snapshot) string {
	var lines []string
	for n := range s.Nodes("") {
		text := fmt.Sprintf("%s: %s, %s", n.Name, n.Status, n.SchedulingEligibility)
		if n.SilentSince != 0 {
			text += ", silent with many others"
		}
		if n.QuarantineUntil != 0 {
			text += ", in quarantine"
		}
		if n.DrainStrategy != nil {
			text += ", drains"
		}
		if n.LastDrain != nil {
			text += ", last drain " + n.LastDrain.Status
		}
		jobs := tally{}
		for a := range s.AllocsByNode(n.ID) {
			if !a.TerminalStatus() {
				jobs.add(a.JobID)
			}
		}
		for _, job := range slices.Sorted(maps.Keys(jobs)) {
			text += fmt.Sprintf(", %d of %s", jobs[job], job)
		}
		lines = append(lines, text+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
