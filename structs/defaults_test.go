package structs

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// contractRow is a row of the contract's table of defaults and answers.
type contractRow struct{ subject, path, value, proof string }

// defaultsTable holds the defaults and timers of the contract, and the keys of its
// answers.
func defaultsTable(t *testing.T) []contractRow {
	t.Helper()
	text, err := os.ReadFile("../tools/status/contract/defaults.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var out []contractRow
	for line := range strings.Lines(string(text)) {
		if c := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); !strings.HasPrefix(line, "#") {
			out = append(out, contractRow{c[0], c[1], c[2], c[3]})
		}
	}
	return out
}

// minimalJob is the contract's minimal job of a kind, as it is read back.
func minimalJob(t *testing.T, kind string) *Job {
	t.Helper()
	source := `{"ID":"mini","Type":"` + kind + `","TaskGroups":[{"Name":"g",
		"Networks":[{"DynamicPorts":[{"Label":"http"}]}],
		"Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"sleep"},
			"Services":[{"Name":"svc","Provider":"nomad","PortLabel":"http"}]}]}]}`
	var j Job
	if err := json.Unmarshal([]byte(source), &j); err != nil {
		t.Fatal(err)
	}
	j.Canonicalize()
	j.ImplyConstraints()
	return &j
}

// TestDefaultsAreThoseOfTheContract walks the table's rows about jobs.
func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	jobs, n := map[string]any{}, 0
	for _, kind := range jobTypes() {
		jobs[kind+" job"] = decoded(t, minimalJob(t, kind))
	}
	for _, r := range defaultsTable(t) {
		if r.proof != "minimal" && r.proof != "has" {
			continue
		}
		n++
		got, has := found(jobs[r.subject], r.path)
		switch {
		case !has:
			t.Errorf("%s has no %s", r.subject, r.path)
		case r.proof == "minimal":
			if d := cmp.Diff(meant(t, r.value), got); d != "" {
				t.Errorf("%s, %s (-contract +ours):\n%s", r.subject, r.path, d)
			}
		}
	}
	if n < 100 {
		t.Errorf("the table has %d rows about jobs", n)
	}
}

// TestKeysAreThoseOfTheContract walks the table's rows about answers.
func TestKeysAreThoseOfTheContract(t *testing.T) {
	types := map[string]any{}
	for _, v := range []any{
		JobRegisterResponse{}, JobPlanResponse{}, PlanAnnotations{}, DesiredUpdates{}, JobDiff{}, TaskGroupDiff{}, TaskDiff{}, ObjectDiff{}, FieldDiff{}, AllocationMetric{},
	} {
		types[reflect.TypeOf(v).Name()] = v
	}
	for _, r := range defaultsTable(t) {
		if r.proof != "keys" {
			continue
		}
		fields, _ := decoded(t, types[r.path]).(map[string]any)
		want := strings.Fields(r.value)
		slices.Sort(want)
		if d := cmp.Diff(want, mapKeys(fields)); d != "" {
			t.Errorf("%s (-contract +ours):\n%s", r.path, d)
		}
	}
}

func decoded(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// found follows a path of keys and indexes.
func found(v any, path string) (any, bool) {
	for step := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			next, has := in[step]
			if !has {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// meant reads a value of the table: JSON, or a duration.
func meant(t *testing.T, text string) (out any) {
	t.Helper()
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		return float64(d)
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%q is no value: %v", text, err)
	}
	return out
}
