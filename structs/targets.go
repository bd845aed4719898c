package structs

import (
	"slices"
	"strings"
)

// names are what an interpolation may name at some place.
type names struct {
	families []string // that any key may follow
	single   []string
	example  string
	of       string // whose names they are
}

// nodeNames are what constraints, affinities and spreads know of nodes.
func nodeNames() names {
	return names{
		families: []string{"attr.", "meta."},
		single:   []string{"node.class", "node.datacenter", "node.pool", "node.unique.id", "node.unique.name"},
		example:  "${attr.kernel.name}, ${meta.rack} or ${node.class}",
		of:       "nodes",
	}
}

// deviceNames are what constraints and affinities of a device block know.
func deviceNames() names {
	return names{
		families: []string{"device.attr."},
		single:   []string{"device.ids", "device.model", "device.type", "device.vendor"},
		example:  "${device.attr.memory} or ${device.model}",
		of:       "devices",
	}
}

func (n names) has(name string) bool {
	for _, family := range n.families {
		if len(name) > len(family) && strings.HasPrefix(name, family) {
			return true
		}
	}
	return slices.Contains(n.single, name)
}

// hint says what may be meant by a name that isn't known.
func (n names) hint(name string) string {
	name = strings.TrimSpace(name)
	meant := name
	if !n.has(name) {
		candidates := slices.Clone(n.single)
		for _, family := range n.families {
			parts := strings.SplitN(name, ".", strings.Count(family, ".")+1)
			candidates = append(candidates, family+parts[len(parts)-1])
		}
		meant = Closest(name, candidates)
		if nested := strings.TrimPrefix(name, "node."); n.has(nested) {
			meant = nested
		}
	}
	if !n.has(meant) {
		return "write a name that " + n.of + " have, such as " + n.example
	}
	return "did you mean ${" + meant + "}?"
}

// warn tells of interpolations in a text that name nothing, on whatever node.
func (n names) warn(f faults, text string) {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "${")
		name, tail, closed := strings.Cut(after, "}")
		if !found || !closed {
			return
		}
		f.check(n.has(name), "${%s} names nothing that %s have: %s", name, n.of, n.hint(name))
		rest = tail
	}
}

// warnLeft tells of a left side that is the same everywhere, too.
func (n names) warnLeft(f faults, text string) {
	if text != "" && !strings.Contains(text, "${") {
		f.add("%q is a plain text, the same for all %s: %s", text, n.of, n.hint(strings.Trim(text, "${}() ")))
	}
	n.warn(f, text)
}

// warnRight tells of a right side that is meant to be an interpolation, too.
func (n names) warnRight(f faults, text string) {
	if bare := strings.Trim(text, "${}() "); strings.HasPrefix(text, "$") && !strings.Contains(text, "${") && n.has(bare) {
		f.add("%q is a plain text: %s", text, n.hint(bare))
	}
	n.warn(f, text)
}

func (n names) warnConstraints(f faults, list []*Constraint) {
	for i, c := range list {
		if c.Operand == OpDistinctHosts {
			continue
		}
		in := f.in("constraint %d", i+1)
		n.warnLeft(in.in("attribute"), c.LTarget)
		n.warnRight(in.in("value"), c.RTarget)
	}
}

func (n names) warnAffinities(f faults, list []*Affinity) {
	for i, a := range list {
		in := f.in("affinity %d", i+1)
		n.warnLeft(in.in("attribute"), a.LTarget)
		n.warnRight(in.in("value"), a.RTarget)
	}
}

func (n names) warnSpreads(f faults, list []*Spread) {
	for i, s := range list {
		n.warnLeft(f.in("spread %d", i+1).in("attribute"), s.Attribute)
	}
}

// warnDevices tells of device blocks that ask for nothing.
func (r *Resources) warnDevices(f faults) {
	for _, d := range r.Devices {
		in := f.in("device %q", d.Name)
		in.in("count").check(ValueOr(d.Count, 1) > 0, "is 0: the task gets no device, and runs on nodes that have none too")
		deviceNames().warnConstraints(in, d.Constraints)
		deviceNames().warnAffinities(in, d.Affinities)
	}
}
