package scheduler_test

import (
	"strings"
	"time"

	"github.com/steppe-run/steppe/structs"
)

func ptr[T any](v T) *T { return &v }

// addJob draws a job. Words on the first line and on "group" lines are
// key=value; other lines belong to the group above them, or to the job.
func (w *world) addJob(name string, words, more []string) {
	text := strings.Join(words, " ") + "\n" + strings.Join(more, "\n")
	w.index++
	j := &structs.Job{
		ID: &name, Name: &name, Namespace: ptr("default"), Type: ptr("service"), Priority: ptr(50),
		NodePool: ptr("default"), Datacenters: []string{"*"},
		Version: ptr(uint64(0)), CreateIndex: ptr(w.index), ModifyIndex: ptr(w.index), JobModifyIndex: ptr(w.index),
	}
	if old := w.jobs[name]; old != nil {
		j.CreateIndex = old.CreateIndex
		version := old.GetVersion()
		if w.texts[name] != text {
			version++
		}
		j.Version = &version
	}
	var rest []string
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "type":
			j.Type = ptr(value)
		case "dc":
			j.Datacenters = strings.Split(value, ",")
		case "pool":
			j.NodePool = ptr(value)
		case "all_at_once":
			j.AllAtOnce = ptr(true)
		case "priority":
			j.Priority = ptr(w.number(value))
		default:
			rest = append(rest, word)
		}
	}
	if len(rest) > 0 {
		j.TaskGroups = append(j.TaskGroups, w.group(j, "g", rest))
	}
	for _, line := range more {
		w.jobLine(j, strings.Fields(line))
	}
	w.jobs[name], w.texts[name] = j, text
}

func (w *world) jobLine(j *structs.Job, words []string) {
	var g *structs.TaskGroup
	if n := len(j.TaskGroups); n > 0 {
		g = j.TaskGroups[n-1]
	}
	switch words[0] {
	case "group":
		j.TaskGroups = append(j.TaskGroups, w.group(j, words[1], words[2:]))
	case "constraint":
		c := &structs.Constraint{Operand: words[1]}
		if len(words) > 2 {
			c.LTarget, c.Operand = words[1], words[2]
			c.RTarget = strings.Join(words[3:], " ")
		}
		if g != nil {
			g.Constraints = append(g.Constraints, c)
		} else {
			j.Constraints = append(j.Constraints, c)
		}
	case "affinity":
		a := &structs.Affinity{LTarget: words[1], Operand: words[2], RTarget: words[3], Weight: ptr(int8(w.number(words[4])))}
		g.Affinities = append(g.Affinities, a)
	case "wants", "likes": // of the first device
		d := g.Tasks[0].Resources.Devices[0]
		if words[0] == "wants" {
			d.Constraints = append(d.Constraints, &structs.Constraint{LTarget: words[1], Operand: words[2], RTarget: strings.Join(words[3:], " ")})
		} else {
			d.Affinities = append(d.Affinities, &structs.Affinity{LTarget: words[1], Operand: words[2], RTarget: words[3], Weight: ptr(int8(w.number(words[4])))})
		}
	case "spread":
		s := &structs.Spread{Attribute: words[1], Weight: ptr(int8(w.number(words[2])))}
		for _, word := range words[3:] {
			value, percent, _ := strings.Cut(word, "=")
			s.SpreadTarget = append(s.SpreadTarget, &structs.SpreadTarget{Value: value, Percent: uint8(w.number(percent))})
		}
		if g != nil {
			g.Spreads = append(g.Spreads, s)
		} else {
			j.Spreads = append(j.Spreads, s)
		}
	default:
		w.t.Fatalf("unknown line %q of a job", words)
	}
}

func (w *world) group(j *structs.Job, name string, words []string) *structs.TaskGroup {
	r := &structs.Resources{CPU: ptr(100), MemoryMB: ptr(100)}
	task := &structs.Task{Name: "t", Driver: "mock", Resources: r, Env: map[string]string{}}
	g := &structs.TaskGroup{
		Name: &name, Count: ptr(1), Tasks: []*structs.Task{task},
		EphemeralDisk: &structs.EphemeralDisk{SizeMB: ptr(300)},
	}
	if j.GetType() == structs.JobTypeService {
		g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), ProgressDeadline: ptr(10 * time.Minute)}
		g.ReschedulePolicy = &structs.ReschedulePolicy{
			Delay: ptr(30 * time.Second), DelayFunction: ptr("exponential"), MaxDelay: ptr(time.Hour), Unlimited: ptr(true),
		}
	}
	switch j.GetType() {
	case structs.JobTypeSystem:
		g.Update = &structs.UpdateStrategy{MaxParallel: ptr(1), ProgressDeadline: ptr(10 * time.Minute), Stagger: ptr(30 * time.Second)}
	case structs.JobTypeBatch:
		g.ReschedulePolicy = &structs.ReschedulePolicy{
			Attempts: ptr(1), Interval: ptr(24 * time.Hour), Delay: ptr(5 * time.Second), DelayFunction: ptr("constant"),
		}
	}
	for _, word := range words {
		w.groupWord(g, task, word)
	}
	return g
}

func (w *world) groupWord(g *structs.TaskGroup, task *structs.Task, word string) {
	key, value, _ := strings.Cut(word, "=")
	net := func() *structs.NetworkResource {
		if len(g.Networks) == 0 {
			g.Networks = []*structs.NetworkResource{{}}
		}
		return g.Networks[0]
	}
	switch key {
	case "count":
		g.Count = ptr(w.number(value))
	case "cpu":
		task.Resources.CPU = ptr(w.number(value))
	case "mem":
		task.Resources.MemoryMB = ptr(w.number(value))
	case "disk":
		g.EphemeralDisk.SizeMB = ptr(w.number(value))
	case "sticky":
		g.EphemeralDisk.Sticky = ptr(true)
	case "cores":
		task.Resources.Cores, task.Resources.CPU = ptr(w.number(value)), ptr(0)
	case "device":
		name, count, _ := strings.Cut(value, ":")
		task.Resources.Devices = append(task.Resources.Devices, &structs.RequestedDevice{Name: name, Count: ptr(uint64(w.number(count)))})
	case "migrate":
		g.Migrate = &structs.MigrateStrategy{MaxParallel: ptr(w.number(value))}
	case "driver":
		task.Driver = value
	case "env":
		task.Env["V"] = value
	case "image":
		task.Config = map[string]any{"image": value}
	case "max_parallel":
		g.Update.MaxParallel = ptr(w.number(value))
	case "stagger":
		g.Update.Stagger = w.duration(value)
	case "canary":
		g.Update.Canary = ptr(w.number(value))
	case "auto_promote":
		g.Update.AutoPromote = ptr(true)
	case "attempts":
		g.ReschedulePolicy.Attempts, g.ReschedulePolicy.Unlimited = ptr(w.number(value)), ptr(false)
		g.ReschedulePolicy.Interval = ptr(time.Hour)
	case "delay":
		g.ReschedulePolicy.Delay = w.duration(value)
	case "lost_after":
		g.Disconnect = &structs.DisconnectStrategy{LostAfter: w.duration(value)}
	case "replace":
		if g.Disconnect == nil {
			g.Disconnect = &structs.DisconnectStrategy{}
		}
		g.Disconnect.Replace = ptr(value == "true")
	case "reconcile":
		g.Disconnect.Reconcile = ptr(value)
	case "static":
		port, to, _ := strings.Cut(value, "@")
		net().ReservedPorts = append(net().ReservedPorts, structs.Port{Label: "s" + port, Value: w.number(port), HostNetwork: to})
	case "port":
		label, to, _ := strings.Cut(value, "@")
		net().DynamicPorts = append(net().DynamicPorts, structs.Port{Label: label, To: -1, HostNetwork: to})
	case "mode":
		net().Mode = value
	case "volume":
		source, access, _ := strings.Cut(value, ":")
		g.Volumes = map[string]*structs.VolumeRequest{source: {Name: source, Type: "host", Source: source, ReadOnly: access == "ro"}}
	default:
		w.t.Fatalf("unknown word %q of a group", word)
	}
}
