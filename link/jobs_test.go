package link

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// A job version is kept as long as one of the node's allocations is of it.
func TestJobsAreKeptWhileAllocationsAreOfThem(t *testing.T) {
	c := newJobCache()
	ref := func(job string) jobRef { return jobRef{id: job} }
	// Each step: allocations and their jobs that come, "!" before those removed.
	for _, step := range []struct {
		set  string
		full bool
		want string
	}{
		{"a=one b=one c=two", true, "one two"},
		{"!a", false, "one two"},
		{"b=three", false, "three two"}, // updated to another version
		{"!b !b !unknown", false, "two"},
		{"d=four !d", false, "two"},
		{"c=two e=two", false, "two"},
		{"e=five", true, "five"},
		{"", true, ""},
	} {
		set, refs := &AllocSet{Full: step.full}, map[string]jobRef{}
		for _, word := range strings.Fields(step.set) {
			if gone, ok := strings.CutPrefix(word, "!"); ok {
				set.Removed = append(set.Removed, gone)
				continue
			}
			id, job, _ := strings.Cut(word, "=")
			refs[id] = ref(job)
			if _, err := c.get(ref(job), func() (*structs.Job, error) { return &structs.Job{}, nil }); err != nil {
				t.Fatal(err)
			}
		}
		c.keep(refs, set)
		var got []string
		for r := range c.jobs {
			got = append(got, r.id)
		}
		slices.Sort(got)
		if kept := strings.Join(got, " "); kept != step.want {
			t.Errorf("after %q: %q are kept, want %q", step.set, kept, step.want)
		}
	}
	// What was fetched for a set that then failed goes with the next full one.
	if _, err := c.get(ref("lost"), func() (*structs.Job, error) { return &structs.Job{}, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := c.get(ref("none"), func() (*structs.Job, error) { return nil, errors.New("no") }); err == nil {
		t.Error("a fetch that failed gave a job")
	}
	c.keep(nil, &AllocSet{Full: true})
	if len(c.jobs) != 0 {
		t.Errorf("%v are kept for nobody", c.jobs)
	}
}
