package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/internal/testx"
)

// schema is what docs/steppe-api.schema.json uses of JSON Schema.
type schema struct {
	Ref                  string             `json:"$ref"`
	Defs                 map[string]*schema `json:"$defs"`
	Type                 any                `json:"type"`
	AnyOf                []*schema          `json:"anyOf"`
	Properties           map[string]*schema `json:"properties"`
	Required             []string           `json:"required"`
	Items                *schema            `json:"items"`
	AdditionalProperties *schema            `json:"additionalProperties"`
}

// kinds are the types that a schema allows.
func (s *schema) kinds() []string {
	switch t := s.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var out []string
		for _, k := range t {
			out = append(out, k.(string))
		}
		return out
	}
	return nil
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	}
	return "object"
}

// check returns what a value has that its schema doesn't allow, or lacks. A key
// that the schema doesn't list is a fault too.
func (s *schema) check(root *schema, at string, v any) []string {
	if s.Ref != "" {
		def := root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if def == nil {
			return []string{at + ": no definition of " + s.Ref}
		}
		return def.check(root, at, v)
	}
	if len(s.AnyOf) > 0 {
		var faults []string
		for _, choice := range s.AnyOf {
			found := choice.check(root, at, v)
			if len(found) == 0 {
				return nil
			}
			if !slices.Equal(choice.kinds(), []string{"null"}) {
				faults = append(faults, found...)
			}
		}
		return faults
	}
	kind := kindOf(v)
	if kinds := s.kinds(); !slices.Contains(kinds, kind) && (kind != "integer" || !slices.Contains(kinds, "number")) {
		return []string{fmt.Sprintf("%s: it is %s, not %v", at, kind, kinds)}
	}
	var faults []string
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			faults = append(faults, s.Items.check(root, fmt.Sprintf("%s[%d]", at, i), item)...)
		}
	case map[string]any:
		for _, key := range s.Required {
			if _, there := v[key]; !there {
				faults = append(faults, at+": no "+key)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			inner := s.Properties[key]
			if inner == nil {
				inner = s.AdditionalProperties
			}
			if inner == nil {
				faults = append(faults, at+": unknown key "+key)
				continue
			}
			faults = append(faults, inner.check(root, at+"."+key, v[key])...)
		}
	}
	return faults
}

// Real answers of our own routes are as docs/steppe-api.schema.json says.
func TestOwnAnswersFollowTheirSchema(t *testing.T) {
	text, err := os.ReadFile("../docs/steppe-api.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	root := &schema{}
	if err := json.Unmarshal(text, root); err != nil {
		t.Fatal(err)
	}
	srv, url := realServer(t)
	addNode(t, srv, "one")
	full := addNode(t, srv, "two")
	c := published(t, url)
	resp, _, err := c.Jobs().Register(theirJob("web", 100), nil) // more than fits
	if err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 10*time.Second, "what fits is placed", func() bool {
		e, _, err := c.Evaluations().Info(resp.EvalID, nil)
		return err == nil && e.Status == "complete"
	})
	allocs, _, err := c.Evaluations().Allocations(resp.EvalID, nil)
	if err != nil || len(allocs) == 0 {
		t.Fatalf("%d allocations: %v", len(allocs), err)
	}
	proposed := theirJob("next", 3)
	proposed.TaskGroups[0].Tasks[0].Resources.CPU = ptr(100_000)
	body := func(v any) string {
		text, err := json.Marshal(map[string]any{"Job": v, "Diff": true})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	covered := map[string]bool{}
	for _, test := range []struct{ method, route, path, body, key, def string }{
		{"GET", "/v1/steppe/job/:job_id+/why", "/v1/steppe/job/web/why", "", "", "JobWhy"},
		{"GET", "/v1/steppe/allocation/:alloc_id/why", "/v1/steppe/allocation/" + allocs[0].ID + "/why", "", "", "AllocWhy"},
		{"GET", "/v1/steppe/node/:node_id/why-not/:job_id+", "/v1/steppe/node/" + full.ID + "/why-not/web", "", "", "NodeWhyNot"},
		{"GET", "/v1/steppe/node/:node_id/drain-plan", "/v1/steppe/node/" + full.ID + "/drain-plan", "", "", "DrainPlan"},
		{"GET", "/v1/steppe/history", "/v1/steppe/history?namespace=*", "", "", "HistoryPage"},
		{"PUT", "/v1/steppe/capacity", "/v1/steppe/capacity", body(proposed), "", "CapacityReport"},
		{"PUT", "/v1/steppe/capacity", "/v1/steppe/capacity", body(theirJob("web", 100)), "", "CapacityReport"},
		{"PUT", "", "/v1/job/web/plan", body(theirJob("web", 10)), "Outcome", "PlanOutcome"},
		{"GET", "/v1/steppe/brake", "/v1/steppe/brake", "", "", "BrakeStatus"},
		{"PUT", "/v1/steppe/brake/release", "/v1/steppe/brake/release", "", "", "BrakeReleaseResponse"},
		{"GET", "/v1/steppe/figures", "/v1/steppe/figures", "", "", "ServerFigures"},
		{"PUT", "/v1/steppe/figures", "/v1/steppe/figures", "", "", "ServerFigures"},
	} {
		covered[test.method+" "+test.route] = true
		got := ask(t, test.method, url+test.path, test.body)
		d := json.NewDecoder(strings.NewReader(got.body))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil || got.status != 200 {
			t.Errorf("%s %s: %d %s", test.method, test.path, got.status, got.body)
			continue
		}
		if test.key != "" {
			v = v.(map[string]any)[test.key]
		}
		for _, fault := range (&schema{Ref: "#/$defs/" + test.def}).check(root, test.def, v) {
			t.Errorf("%s %s: %s", test.method, test.path, fault)
		}
	}
	for _, r := range Routes() {
		if r.Kind == door.KindWebsocket {
			continue // what goes over it is the caller's
		}
		if method, _, _ := strings.Cut(r.Methods, "|"); strings.HasPrefix(r.Path, "/v1/steppe/") && !covered[method+" "+r.Path] {
			t.Errorf("%s %s was not asked", method, r.Path)
		}
	}
}

// What is asked of our own routes in vain is the caller's fault, and says all
// that is wrong.
func TestOwnRoutesRefuseBadInput(t *testing.T) {
	_, url := realServer(t)
	const none = "00000000-0000-4000-8000-000000000000"
	for _, test := range []struct {
		method, path, body string
		status             int
		texts              []string
	}{
		{"PUT", "/v1/steppe/capacity", "{}", 400, []string{"Job must be specified"}},
		{"POST", "/v1/steppe/capacity", `{"Job":{"ID":"a","Datacenters":["dc1"],"Priority":-1,"TaskGroups":[{"Name":"g","Count":-1,` +
			`"Tasks":[{"Name":"t","Driver":"mock","Resources":{"CPU":-5}}]}]}}`, 400, []string{"priority", "count", "cpu"}},
		{"PUT", "/v1/steppe/capacity", `{"Job":{"ID":"a","Namespace":"none"}}`, 400, []string{`namespace "none" doesn't exist`, "at least one group"}},
		{"GET", "/v1/steppe/history?kind=node", "", 400, []string{`kind "node" is unknown: use job, evaluation`}},
		{"GET", "/v1/steppe/history?next_token=abc", "", 400, []string{`next_token: "abc" is no position`}},
		{"GET", "/v1/steppe/history?after=1.x", "", 400, []string{`after: "1.x" is no position`}},
		{"GET", "/v1/steppe/history?since=yesterday", "", 400, []string{`since: "yesterday" is no moment`}},
		{"GET", "/v1/steppe/history?until=-3h", "", 400, []string{`until: "-3h" is no moment`}},
		{"GET", "/v1/steppe/history?objects=maybe", "", 500, []string{"as a bool"}},
		{"GET", "/v1/steppe/job/none/why", "", 404, []string{"job not found"}},
		{"GET", "/v1/steppe/allocation/abc/why", "", 404, []string{"alloc not found"}},
		{"GET", "/v1/steppe/node/abc/why-not/web", "", 404, []string{"node not found"}},
		{"GET", "/v1/steppe/node/" + none + "/drain-plan", "", 404, []string{"node not found"}},
		{"GET", "/v1/steppe/node/" + none + "/drain-plan?deadline=soon", "", 400, []string{`deadline: "soon" is no duration`}},
		{"GET", "/v1/steppe/node/" + none + "/drain-plan?ignore_system_jobs=maybe", "", 500, []string{"as a bool"}},
	} {
		got := ask(t, test.method, url+test.path, test.body)
		for _, text := range test.texts {
			if got.status != test.status || !strings.Contains(got.body, text) {
				t.Errorf("%s %s: %d %q, want %d and %q", test.method, test.path, got.status, got.body, test.status, text)
			}
		}
	}
}
