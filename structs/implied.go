package structs

import (
	"slices"
	"strings"
)

// ImplyConstraints adds to each group the conditions that follow from what its
// tasks use, so that they are only placed where it is there: native services,
// signals, Vault, Consul. The job is canonical.
func (j *Job) ImplyConstraints() {
	for _, g := range j.TaskGroups {
		for _, c := range g.implied() {
			same := func(o *Constraint) bool { return *o == *c }
			if !slices.ContainsFunc(g.Constraints, same) {
				g.Constraints = append(g.Constraints, c)
			}
		}
	}
}

func (g *TaskGroup) implied() []*Constraint {
	var out []*Constraint
	if g.usesProvider(ServiceProviderNomad) {
		out = append(out, &Constraint{LTarget: "${attr.nomad.service_discovery}", Operand: OpEqual, RTarget: "true"})
	}
	if g.usesProvider(ServiceProviderConsul) || g.usesConsul() {
		out = append(out, &Constraint{LTarget: "${attr.consul.version}", Operand: OpAttributeSet})
	}
	for _, c := range append(g.consuls(), g.Consul) {
		if c != nil && c.Partition != "" {
			out = append(out, &Constraint{LTarget: "${attr.consul.partition}", Operand: OpEqual, RTarget: c.Partition})
		}
	}
	if slices.ContainsFunc(g.Tasks, func(t *Task) bool { return t.Vault != nil }) {
		out = append(out, &Constraint{LTarget: "${attr.vault.version}", Operand: OpAttributeSet})
	}
	if signals := g.Signals(); len(signals) > 0 {
		out = append(out, &Constraint{
			LTarget: "${attr.os.signals}", Operand: OpSetContains, RTarget: strings.Join(signals, ","),
		})
	}
	return out
}

// AllServices returns the services of the group and of its tasks.
func (g *TaskGroup) AllServices() []*Service {
	out := slices.Clone(g.Services)
	for _, t := range g.Tasks {
		out = append(out, t.Services...)
	}
	return out
}

// Signals returns the signals that the group's tasks may be sent, sorted, each
// once.
func (g *TaskGroup) Signals() []string {
	var out []string
	add := func(mode, signal string) {
		if signal != "" && mode == ChangeModeSignal {
			out = append(out, signal)
		}
	}
	for _, t := range g.Tasks {
		add(ChangeModeSignal, t.KillSignal)
		if t.Vault != nil {
			add(Value(t.Vault.ChangeMode), Value(t.Vault.ChangeSignal))
		}
		for _, tmpl := range t.Templates {
			add(Value(tmpl.ChangeMode), Value(tmpl.ChangeSignal))
		}
		for _, id := range t.Identities {
			add(id.ChangeMode, id.ChangeSignal)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (g *TaskGroup) usesProvider(provider string) bool {
	return slices.ContainsFunc(g.AllServices(), func(s *Service) bool { return s.Provider == provider })
}

func (g *TaskGroup) usesConsul() bool { return g.Consul != nil || len(g.consuls()) > 0 }

func (g *TaskGroup) consuls() []*Consul {
	var out []*Consul
	for _, t := range g.Tasks {
		if t.Consul != nil {
			out = append(out, t.Consul)
		}
	}
	return out
}
