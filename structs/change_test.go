package structs

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

// Every field of a job says what its change means; a new field without a tag
// would be ignored or restart tasks by accident.
func TestEveryJobFieldIsTagged(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if tag := f.Tag.Get("change"); !slices.Contains([]string{"inplace", "replace", "ignore"}, tag) {
				t.Errorf("%s.%s: change tag is %q, want inplace, replace or ignore", typ.Name(), f.Name, tag)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Job]())
	if len(seen) < 60 {
		t.Errorf("only %d types found below Job", len(seen))
	}
}

const smallJob = `{"ID":"web","TaskGroups":[{"Name":"front","Count":2,"Networks":[{"DynamicPorts":[{"Label":"http"}]}],
	"Services":[{"Name":"web","PortLabel":"http","Provider":"nomad","Checks":[{"Type":"http","Path":"/","Interval":10000000000,"Timeout":2000000000}]}],
	"Tasks":[{"Name":"app","Driver":"raw_exec","Config":{"command":"/bin/web","args":["-v"]},"Env":{"A":"1"},
		"Templates":[{"EmbeddedTmpl":"x","DestPath":"local/x"}]}]}]}`

// edited returns smallJob, canonical, after change.
func edited(t *testing.T, change func(*Job)) *Job {
	t.Helper()
	var j Job
	if err := json.Unmarshal([]byte(smallJob), &j); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&j)
	}
	j.Canonicalize()
	return &j
}

func TestGroupChange(t *testing.T) {
	group := func(j *Job) *TaskGroup { return j.TaskGroups[0] }
	task := func(j *Job) *Task { return j.TaskGroups[0].Tasks[0] }
	cases := []struct {
		name   string
		change func(*Job)
		want   Change
	}{
		{"nothing", func(*Job) {}, ChangeNone},
		{"bookkeeping", func(j *Job) { j.Version, j.Status, j.ModifyIndex = new(uint64(7)), new("running"), new(uint64(9)) }, ChangeNone},
		{"empty list", func(j *Job) { j.Constraints = []*Constraint{} }, ChangeNone},
		{"number of another kind", func(j *Job) { task(j).Config["n"] = 1 }, ChangeReplace},
		{"priority", func(j *Job) { j.Priority = new(70) }, ChangeInPlace},
		{"count", func(j *Job) { group(j).Count = new(5) }, ChangeInPlace},
		{"job meta", func(j *Job) { j.Meta = map[string]string{"a": "b"} }, ChangeReplace},
		{"constraint", func(j *Job) { group(j).Constraints = []*Constraint{{LTarget: "${attr.kernel.name}", RTarget: "linux"}} }, ChangeInPlace},
		{"service tag", func(j *Job) { group(j).Services[0].Tags = []string{"x"} }, ChangeInPlace},
		{"check path", func(j *Job) { group(j).Services[0].Checks[0].Path = "/health" }, ChangeInPlace},
		{"update", func(j *Job) { group(j).Update = &UpdateStrategy{MaxParallel: new(2)} }, ChangeInPlace},
		{"kill timeout", func(j *Job) { task(j).KillTimeout = new(0 * task(j).ShutdownDelay) }, ChangeInPlace},
		{"env", func(j *Job) { task(j).Env["A"] = "2" }, ChangeReplace},
		{"env key", func(j *Job) { task(j).Env = map[string]string{"B": "1"} }, ChangeReplace},
		{"config deep", func(j *Job) { task(j).Config["args"] = []any{"-q"} }, ChangeReplace},
		{"same config, other types", func(j *Job) { task(j).Config["args"] = []string{"-v"} }, ChangeNone},
		{"memory", func(j *Job) { task(j).Resources = &Resources{MemoryMB: new(512)} }, ChangeReplace},
		{"template", func(j *Job) { task(j).Templates[0].EmbeddedTmpl = new("y") }, ChangeReplace},
		{"deprecated knob", func(j *Job) { task(j).Templates[0].VaultGrace = new(task(j).ShutdownDelay + 5) }, ChangeNone},
		{"port", func(j *Job) { group(j).Networks[0].DynamicPorts[0].To = 8080 }, ChangeReplace},
		{"another task", func(j *Job) { group(j).Tasks = append(group(j).Tasks, &Task{Name: "b"}) }, ChangeReplace},
		{"renamed task", func(j *Job) { task(j).Name = "b" }, ChangeReplace},
		{"renamed group", func(j *Job) { group(j).Name = new("b") }, ChangeReplace},
		{"another group", func(j *Job) { j.TaskGroups = append(j.TaskGroups, &TaskGroup{Name: new("b")}) }, ChangeNone},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before, after := edited(t, nil), edited(t, c.change)
			if got := GroupChange(before, after, "front"); got != c.want {
				t.Errorf("GroupChange = %d, want %d", got, c.want)
			}
			if got := GroupChange(after, before, "front"); got != c.want {
				t.Errorf("GroupChange backwards = %d, want %d", got, c.want)
			}
			anotherGroup := len(after.TaskGroups) > 1
			if got, want := SpecChanged(before, after), c.want != ChangeNone || anotherGroup; got != want {
				t.Errorf("SpecChanged = %v, want %v", got, want)
			}
		})
	}
}

func TestOrderOfTasksMeansNothing(t *testing.T) {
	two := func(first, second string) *Job {
		return edited(t, func(j *Job) {
			j.TaskGroups[0].Tasks = []*Task{{Name: first}, {Name: second}}
		})
	}
	if TasksUpdated(two("a", "b"), two("b", "a"), "front") {
		t.Error("tasks in another order restart the allocation")
	}
}

// Each field tagged replace restarts, each tagged ignore doesn't: the walk
// changes one field of a full job at a time.
func TestTagsDecide(t *testing.T) {
	base := populated[Task]()
	for i := range reflect.TypeFor[Task]().NumField() {
		f := reflect.TypeFor[Task]().Field(i)
		other := base.Clone()
		reflect.ValueOf(other).Elem().Field(i).SetZero()
		job := func(task *Task) *Job {
			return &Job{TaskGroups: []*TaskGroup{{Name: new("g"), Tasks: []*Task{task}}}}
		}
		want := map[string]Change{"inplace": ChangeInPlace, "replace": ChangeReplace, "ignore": ChangeNone}[f.Tag.Get("change")]
		if f.Name == "Name" {
			want = ChangeReplace
		}
		if got := GroupChange(job(base), job(other), "g"); got != want {
			t.Errorf("Task.%s: %d, want %d", f.Name, got, want)
		}
	}
}
