package job

import (
	"fmt"
	"sort"
	"strings"

	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// painter draws a difference: one line a field, markers before what changed.
type painter struct {
	b       strings.Builder
	colour  bool
	verbose bool // also fields that are equal
}

// Diff draws what changes between two versions of a job.
func Diff(d *structs.JobDiff, colour, verbose bool) string {
	p := &painter{colour: colour, verbose: verbose}
	p.line(0, d.Type, fmt.Sprintf("Job: %q", d.ID), nil)
	p.body(d.Fields, d.Objects, 0)
	for _, g := range d.TaskGroups {
		p.group(g)
	}
	return p.b.String()
}

func (p *painter) group(g *structs.TaskGroupDiff) {
	if g.Type == structs.DiffNone && len(g.Updates) == 0 && !p.verbose {
		return
	}
	title := fmt.Sprintf("Task Group: %q", g.Name)
	if counts := updateCounts(g.Updates); counts != "" {
		title += " (" + counts + ")"
	}
	p.line(0, g.Type, title, nil)
	p.body(g.Fields, g.Objects, 2)
	for _, t := range g.Tasks {
		if t.Type == structs.DiffNone && len(t.Annotations) == 0 && !p.verbose {
			continue
		}
		p.line(2, t.Type, fmt.Sprintf("Task: %q", t.Name), t.Annotations)
		if t.Type != structs.DiffNone || p.verbose {
			p.body(t.Fields, t.Objects, 4)
		}
	}
}

func updateCounts(updates map[string]uint64) string {
	names := make([]string, 0, len(updates))
	for name := range updates {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", updates[name], name)
	}
	return strings.Join(names, ", ")
}

func (p *painter) body(fields []*structs.FieldDiff, objects []*structs.ObjectDiff, indent int) {
	width := 0
	for _, f := range fields {
		if p.shown(f.Type) {
			width = max(width, len(f.Name))
		}
	}
	for _, f := range fields {
		if p.shown(f.Type) {
			p.field(f, indent+2, width)
		}
	}
	for _, o := range objects {
		if !p.shown(o.Type) {
			continue
		}
		p.line(indent+2, o.Type, o.Name+" {", nil)
		p.body(o.Fields, o.Objects, indent+2)
		p.line(indent+2, "", "}", nil)
	}
}

func (p *painter) shown(kind string) bool { return p.verbose || kind != structs.DiffNone }

func (p *painter) field(f *structs.FieldDiff, indent, width int) {
	var value string
	switch f.Type {
	case structs.DiffAdded:
		value = fmt.Sprintf("%q", f.New)
	case structs.DiffDeleted:
		value = fmt.Sprintf("%q", f.Old)
	case structs.DiffEdited:
		value = fmt.Sprintf("%q => %q", f.Old, f.New)
	default:
		value = fmt.Sprintf("%q", f.New)
	}
	p.line(indent, f.Type, fmt.Sprintf("%-*s %s", width+1, f.Name+":", value), f.Annotations)
}

// line draws one line: marker, indent, text, annotations in brackets.
func (p *painter) line(indent int, kind, text string, annotations []string) {
	marker, colour := "", ""
	switch kind {
	case structs.DiffAdded:
		marker, colour = "+ ", "\x1b[32m"
	case structs.DiffDeleted:
		marker, colour = "- ", "\x1b[31m"
	case structs.DiffEdited:
		marker, colour = "+/- ", "\x1b[33m"
	}
	if p.colour && colour != "" {
		marker = colour + marker + "\x1b[0m"
	}
	note := ""
	if len(annotations) > 0 {
		note = " (" + strings.Join(annotations, ", ") + ")"
	}
	fmt.Fprintf(&p.b, "%s%s%s%s\n", strings.Repeat(" ", indent), marker, view.Clean(text), view.Clean(note))
}
