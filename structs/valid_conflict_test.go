package structs

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatNoNodeCanMeet(t *testing.T) {
	c := func(l, op, r string) *Constraint { return &Constraint{LTarget: l, Operand: op, RTarget: r} }
	cases := []struct {
		name             string
		job, group, task []*Constraint
		want             string
	}{
		{"one value twice", []*Constraint{c("${attr.a}", "=", "x")}, []*Constraint{c("${attr.a}", "=", "x")}, nil, ""},
		{"two values", []*Constraint{c("${attr.a}", "=", "x")}, nil, []*Constraint{c("${attr.a}", "is", "y")}, `both "x" and "y"`},
		{"two attributes", []*Constraint{c("${attr.a}", "=", "x"), c("${attr.b}", "=", "y")}, nil, nil, ""},
		{"a value and not it", nil, []*Constraint{c("${attr.a}", "!=", "x"), c("${attr.a}", "=", "x")}, nil, `have "x"`},
		{"a value and not another", nil, []*Constraint{c("${attr.a}", "!=", "y"), c("${attr.a}", "=", "x")}, nil, ""},
		{"set and not set", nil, []*Constraint{c("${meta.a}", "is_set", "")}, []*Constraint{c("${meta.a}", "is_not_set", "")}, "have ${meta.a}"},
		{"compared and not set", nil, []*Constraint{c("${meta.a}", ">", "3"), c("${meta.a}", "is_not_set", "")}, nil, "have ${meta.a}"},
		{"different or not set", nil, []*Constraint{c("${meta.a}", "!=", "3"), c("${meta.a}", "is_not_set", "")}, nil, ""},
		{"known on the node only", nil, []*Constraint{c("${attr.a}", "=", "${attr.b}"), c("${attr.a}", "=", "x")}, nil, ""},
		{"a range of versions", nil, []*Constraint{c("${attr.v}", "semver", ">= 1.2.0, < 2.0.0-beta")}, nil, ""},
		{"no semver", nil, []*Constraint{c("${attr.v}", "semver", "~> 1.2")}, nil, "not a version constraint"},
		{"no version", nil, []*Constraint{c("${attr.v}", "version", ">= one")}, nil, "not a version constraint"},
		{"no regexp", nil, []*Constraint{c("${attr.v}", "regexp", "(")}, nil, "not a regular expression"},
		{"a slow regexp", nil, []*Constraint{c("${attr.v}", "regexp", "(.?){200}x")}, nil, "constraint 1 > value: the expression, its repetitions written out, has 803"},
		{"a slow regexp nested", nil, []*Constraint{c("${attr.v}", "regexp", "((a|b){10}){50}")}, nil, "more than the limit of 256"},
		{"a slow regexp of a few parts", nil, []*Constraint{c("${attr.v}", "regexp", "^(.?){40}x$")}, nil, ""},
		{"many regexps", slices.Repeat([]*Constraint{c("${attr.v}", "regexp", "x")}, 200), slices.Repeat([]*Constraint{c("${attr.v}", "regexp", "x")}, 57), nil, "257 regular expressions"},
		{"a huge regexp", nil, []*Constraint{c("${attr.v}", "regexp", strings.Repeat("a", 20_000))}, nil, "characters long"},
	}
	for _, test := range cases {
		mentions(t, test.name, test.want, func(j *Job) {
			j.Constraints, group(j).Constraints, task(j).Constraints = test.job, test.group, test.task
		})
	}
	absurd := []struct {
		name   string
		change func(*Resources)
		want   string
	}{
		{"no devices", func(r *Resources) { r.Devices = []*RequestedDevice{{Name: "gpu", Count: new(uint64(0))}} }, ""},
		{"a nameless part", func(r *Resources) { r.Devices = []*RequestedDevice{{Name: "nvidia//x", Count: new(uint64(1))}} }, "vendor/type/model"},
		{"too many devices", func(r *Resources) { r.Devices = []*RequestedDevice{{Name: "gpu", Count: new(uint64(1 << 40))}} }, "count"},
		{"negative cores", func(r *Resources) { r.Cores = new(-1) }, "cores"},
		{"too many cores", func(r *Resources) { r.Cores, r.CPU = new(1<<20), new(0) }, "cores"},
		{"too much memory", func(r *Resources) { r.MemoryMB = new(1 << 50) }, "memory"},
		{"too much compute", func(r *Resources) { r.CPU = new(1 << 50) }, "cpu"},
	}
	for _, test := range absurd {
		mentions(t, test.name, test.want, func(j *Job) {
			task(j).Resources = &Resources{CPU: new(100), MemoryMB: new(100)}
			test.change(task(j).Resources)
		})
	}
}

// mentions checks that an edited job is refused with a text, or valid if there
// is none.
func mentions(t *testing.T, name, want string, change func(*Job)) {
	t.Helper()
	err := edited(t, change).Validate()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: want %q, got %v", name, want, err)
	}
}
