package story

import (
	"fmt"
	"strings"

	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/structs"
)

// jobOf reads "job web service count=10 max_parallel=2": a job of one group.
func jobOf(words []string) (*structs.Job, error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("say: job NAME service|batch|system|sysbatch KEY=VALUE …")
	}
	id, kind := words[1], words[2]
	b := &builder{job: &structs.Job{ID: &id, Name: new(id), Type: &kind}}
	b.begin("g")
	ofJob, ofGroup := jobSettings(), groupSettings()
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		set := ofJob[key]
		if set == nil {
			if set = ofGroup[key]; set == nil {
				return nil, fmt.Errorf("a job has no setting %q here", key)
			}
			b.begun = true
		}
		if err := set(b, value); err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	return b.job, nil
}

// builder is a job being read.
type builder struct {
	job    *structs.Job
	group  *structs.TaskGroup
	task   *structs.Task
	config map[string]any
	// begun says that something was told of the group.
	begun bool
}

// begin begins a group. What follows is told of it.
func (b *builder) begin(name string) {
	if b.group != nil && !b.begun {
		b.group.Name = &name // nothing was told of the first one yet
		b.begun = true
		return
	}
	b.config = map[string]any{}
	b.task = &structs.Task{Name: "main", Driver: node.DriverName, Config: b.config, Resources: &structs.Resources{CPU: new(100), MemoryMB: new(100)}}
	b.begun = b.group != nil
	b.group = &structs.TaskGroup{Name: &name, Count: new(1), Tasks: []*structs.Task{b.task}}
	b.job.TaskGroups = append(b.job.TaskGroups, b.group)
}
