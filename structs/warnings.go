package structs

import (
	"fmt"
	"strings"
	"time"
)

// Warnings returns what is allowed but probably not meant, as texts. The job
// is canonical.
func (j *Job) Warnings() []string {
	var out []string
	for _, w := range j.WarningFaults() {
		out = append(out, w.String())
	}
	return out
}

// WarningFaults returns what Warnings does, with the places apart.
func (j *Job) WarningFaults() []Fault {
	f := newFaults()
	if j.Periodic != nil {
		j.Periodic.warn(f.in("periodic"))
	}
	nodeNames().warnConstraints(f, j.Constraints)
	nodeNames().warnAffinities(f, j.Affinities)
	nodeNames().warnSpreads(f, j.Spreads)
	auto, canaries := 0, 0
	for _, g := range j.TaskGroups {
		in := f.in("group %q", g.GetName())
		g.warnPace(in, j.GetType())
		g.warn(in)
		in.in("count").check(j.GetType() != JobTypeSysBatch || g.GetCount() <= 1,
			"a sysbatch job runs once on every node, %d means no more than 1", g.GetCount())
		if g.Update != nil && Value(g.Update.Canary) > 0 {
			canaries++
			if Value(g.Update.AutoPromote) {
				auto++
			}
		}
	}
	f.check(auto == 0 || auto == canaries,
		"auto_promote must be true for all groups with canaries, else none is promoted by itself")
	return *f.list
}

// closeLaunches is the time between launches below which they are probably not
// meant: each is a job of its own.
const closeLaunches = 10 * time.Second

func (p *PeriodicConfig) warn(f faults) {
	in := f.in("crons")
	if Value(p.Spec) != "" {
		in = f.in("cron")
		in.add("is deprecated, use crons with a list")
	}
	for _, text := range p.Crons() {
		c, err := parseCron(text)
		if err != nil {
			continue // a fault, not a warning
		}
		if pause, _ := c.pace(); pause > 0 {
			in.check(pause >= closeLaunches, "%q launches a job %s after the last one: each is stored, evaluated and kept until it is swept", text, pause)
		}
	}
	f.in("time_zone").check(Value(p.TimeZone) != "Local", "is that of whichever server leads: name one, like Europe/Vienna")
}

// warnPace warns of an update that has no steps; how many nodes a system job runs
// on isn't known here.
func (g *TaskGroup) warnPace(f faults, kind string) {
	if u := g.Update; u != nil && g.GetCount() > 0 && !EveryNode(kind) {
		f.in("update > max_parallel").check(Value(u.MaxParallel) <= g.GetCount(),
			"is %d, more than the group's count of %d: a destructive update will stop the whole group", Value(u.MaxParallel), g.GetCount())
	}
}

func (g *TaskGroup) warn(f faults) {
	f.in("max_client_disconnect").check(g.MaxClientDisconnect == nil, "is deprecated and ignored, use disconnect > lost_after")
	f.in("stop_after_client_disconnect").check(g.StopAfterClientDisconnect == nil, "is deprecated and ignored, use disconnect > stop_on_client_after")
	f.in("prevent_reschedule_on_lost").check(!Value(g.PreventRescheduleOnLost), "is deprecated and ignored, use disconnect > replace")
	nodeNames().warnConstraints(f, g.Constraints)
	nodeNames().warnAffinities(f, g.Affinities)
	nodeNames().warnSpreads(f, g.Spreads)
	for _, n := range g.Networks {
		f.in("network > mbits").check(n.MBits == nil, "is deprecated and ignored")
	}
	for _, t := range g.Tasks {
		in := f.in("task %q", t.Name)
		nodeNames().warnConstraints(in, t.Constraints)
		nodeNames().warnAffinities(in, t.Affinities)
		if r := t.Resources; r != nil {
			r.warnDevices(in.in("resources"))
			in.in("resources > iops").check(Value(r.IOPS) == 0, "is ignored")
			in.in("resources > network").check(len(r.Networks) == 0, "is deprecated, use a network block in the group")
		}
		for _, tmpl := range t.Templates {
			in.in("template > vault_grace").check(Value(tmpl.VaultGrace) == 0, "is deprecated and ignored")
		}
		in.in("kill_timeout").check(t.GetKillTimeout() <= MaxKillTimeout,
			"is %s, but nodes grant at most %s unless they are configured with a longer max_kill_timeout", t.GetKillTimeout(), MaxKillTimeout)
	}
}

// WarningText puts warnings into the form that the API answers with.
func WarningText(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return fmt.Sprintf("%d warning(s):\n\n* %s", len(warnings), strings.Join(warnings, "\n* "))
}
