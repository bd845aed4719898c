package structs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drawDiff writes a diff as text, a line a thing.
func drawDiff(d *JobDiff) string {
	var b strings.Builder
	line := func(depth int, format string, args ...any) {
		b.WriteString(strings.Repeat("  ", depth) + strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
	}
	fields := func(depth int, list []*FieldDiff) {
		for _, f := range list {
			line(depth, "%s %s: %q => %q %s", f.Type, f.Name, f.Old, f.New, strings.Join(f.Annotations, ", "))
		}
	}
	var objects func(depth int, list []*ObjectDiff)
	objects = func(depth int, list []*ObjectDiff) {
		for _, o := range list {
			line(depth, "%s %s {", o.Type, o.Name)
			fields(depth+1, o.Fields)
			objects(depth+1, o.Objects)
		}
	}
	line(0, "%s job %s", d.Type, d.ID)
	fields(1, d.Fields)
	objects(1, d.Objects)
	for _, g := range d.TaskGroups {
		var updates []string
		for _, k := range mapKeys(g.Updates) {
			updates = append(updates, fmt.Sprintf("%d %s", g.Updates[k], k))
		}
		line(1, "%s group %s (%s)", g.Type, g.Name, strings.Join(updates, ", "))
		fields(2, g.Fields)
		objects(2, g.Objects)
		for _, t := range g.Tasks {
			line(2, "%s task %s %s", t.Type, t.Name, strings.Join(t.Annotations, ", "))
			fields(3, t.Fields)
			objects(3, t.Objects)
		}
	}
	return b.String()
}

func TestDiffOfAnEdit(t *testing.T) {
	before := edited(t, func(j *Job) { j.Meta = map[string]string{"gone": "1", "kept": "2"} })
	after := edited(t, func(j *Job) {
		j.Priority = new(70)
		j.Datacenters = []string{"dc1"}
		j.Meta = map[string]string{"kept": "2", "new": "3"}
		g := j.TaskGroups[0]
		g.Count = new(10)
		g.Networks[0].DynamicPorts[0].To = 80
		g.Constraints = []*Constraint{{LTarget: "${attr.kernel.name}", RTarget: "linux"}}
		g.Services[0].Checks[0].Path = "/health"
		t := g.Tasks[0]
		t.Config["args"] = []any{"-q", "-v"}
		t.KillTimeout = new(20 * time.Second)
		t.Env = map[string]string{"A": "2"}
		j.TaskGroups = append(j.TaskGroups, &TaskGroup{Name: new("back"), Count: new(0), Tasks: []*Task{{Name: "t"}}})
	})
	d := before.Diff(after, false)
	d.TaskGroups = slices.DeleteFunc(d.TaskGroups, func(g *TaskGroupDiff) bool { return g.Name == "back" })
	Annotate(d, &PlanAnnotations{DesiredTGUpdates: map[string]*DesiredUpdates{"front": {Place: 8, DestructiveUpdate: 2}}})
	goldenText(t, "diff-edit.txt", drawDiff(d))
	goldenText(t, "diff-contextual.txt", drawDiff(before.Diff(after, true)))
}

func TestDiffOfNothing(t *testing.T) {
	d := edited(t, nil).Diff(edited(t, func(j *Job) { j.Version = new(uint64(4)) }), false)
	Annotate(d, nil)
	want := "None job web\n  None group front ()\n    None task app\n"
	if got := drawDiff(d); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestDiffOfAddedAndDeleted(t *testing.T) {
	job := edited(t, nil)
	added := (*Job)(nil).Diff(job, false)
	Annotate(added, nil)
	deleted := job.Diff(nil, false)
	Annotate(deleted, nil)
	for text, wants := range map[string][]string{
		drawDiff(added):   {"Added job web\n", `Added Count: "" => "2" forces create`, "Added task app forces create", `Added command: "" => "/bin/web"`, `Added Env[A]: "" => "1"`},
		drawDiff(deleted): {"Deleted job web\n", `Deleted Count: "2" => "" forces destroy`, "Deleted task app forces destroy"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
		for _, never := range []string{"None ", "Edited ", "Version", "ModifyIndex"} {
			if strings.Contains(text, never) {
				t.Errorf("%q is in\n%s", never, text)
			}
		}
	}
}

// A diff says "changed" exactly when a registration would make a new version.
func TestDiffAgreesWithSpecChanged(t *testing.T) {
	a := populated[Job]()
	a.Canonicalize()
	b := a.Clone()
	if d := a.Diff(b, true); d.Type != DiffNone {
		t.Errorf("equal jobs differ:\n%s", drawDiff(d))
	}
	b.TaskGroups[0].Tasks[0].Templates[0].Wait.Min = new(3 * time.Hour)
	if d := a.Diff(b, false); d.Type != DiffEdited || !SpecChanged(a, b) {
		t.Errorf("a deep change is not seen:\n%s", drawDiff(d))
	}
}
