package jobspec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/steppe-run/steppe/structs"
)

func TestPoolFiles(t *testing.T) {
	got, diags := ParseNodePool("pool.hcl", []byte(`
node_pool "gpu" {
  description       = "fast ones"
  node_identity_ttl = "2h"
  meta {
    owner = "me"
  }
  scheduler_config {
    scheduler_algorithm             = "spread"
    memory_oversubscription_enabled = true
  }
}
`))
	want := &structs.NodePool{
		Name: "gpu", Description: "fast ones", NodeIdentityTTL: 2 * time.Hour, Meta: map[string]string{"owner": "me"},
		SchedulerConfiguration: &structs.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: new(true)},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(diags) > 0 {
		t.Errorf("%v\n%s", diags, diff)
	}
}

// Every fault of a file is told at once, with its place.
func TestFaultsOfPoolFiles(t *testing.T) {
	cases := []struct {
		name, text string
		want       []string // line and part of each, in order
	}{
		{"nothing", "", []string{"0 the file has no node_pool block"}},
		{"no name", "node_pool {}\n", []string{"1 needs a label"}},
		{"two pools", "node_pool \"a\" {}\nnode_pool \"b\" {}\n", []string{"2 a second node_pool"}},
		{"a job", "job \"a\" {}\n", []string{`1 there is no block "job"`}},
		{"words", "name = 1\nnode_pool \"a\" {\n  describe = \"x\"\n  scheduler_config {\n    algorithm = \"spread\"\n    memory_oversubscription_enabled = \"maybe\"\n  }\n}\n",
			[]string{`1 outside of blocks`, `3 no attribute "describe"`, `5 no attribute "algorithm"`, `6 memory_oversubscription_enabled`}},
		{"syntax", "node_pool \"a\" {\n", []string{"1 "}},
	}
	for _, test := range cases {
		pool, diags := ParseNodePool("pool.hcl", []byte(test.text))
		if pool != nil || len(diags) != len(test.want) {
			t.Errorf("%s: %+v with %v, want %d faults", test.name, pool, diags, len(test.want))
			continue
		}
		for i, want := range test.want {
			line, part, _ := strings.Cut(want, " ")
			if d := diags[i]; !strings.HasPrefix(line, string(rune('0'+d.Line))) || !strings.Contains(d.Summary, part) {
				t.Errorf("%s: line %d: %s, want %s", test.name, d.Line, d.Summary, want)
			}
		}
	}
	for text, part := range map[string]string{
		`{`: "unexpected end", `{"Description":"x"}`: "no node pool", `{"Name":3}`: "must not be a number", `{"Name":"a","NodeIdentityTTL":"soon"}`: "soon",
	} {
		if pool, diags := ParseNodePoolJSON("pool.json", []byte(text)); pool != nil || !strings.Contains(diags.Error(), part) {
			t.Errorf("%s: %+v %v, want %s", text, pool, diags, part)
		}
	}
}

func TestUnknownKeysOfAPoolInJSON(t *testing.T) {
	pool, diags := ParseNodePoolJSON("pool.json", []byte(`{"Name":"a","Descr":"x","Colour":1,"modifyindex":3,"SchedulerConfiguration":{"Algo":"x"}}`))
	text := diags.Error()
	for _, want := range []string{`a node pool has no key "Colour"`, `no key "Descr"`, `SchedulerConfiguration has no key "Algo"`} {
		if pool != nil || len(diags) != 3 || !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, wrong := range []string{`{"Name":3}`, `{"Name":"a","Meta":{"a":1}}`, `{"Name":"a","Description":[]}`} {
		if _, diags := ParseNodePoolJSON("pool.json", []byte(wrong)); len(diags) != 1 || strings.Contains(diags.Error(), "plain") {
			t.Errorf("%s: %s", wrong, diags.Error())
		}
	}
}

func TestExamplePools(t *testing.T) {
	hcl, diags := ParseNodePool("pool.hcl", []byte(ExampleNodePool(false)))
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	fromJSON, diags := ParseNodePoolJSON("pool.json", []byte(ExampleNodePool(true)))
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	if diff := cmp.Diff(hcl, fromJSON); diff != "" {
		t.Error("the examples differ:\n" + diff)
	}
	if err := hcl.Validate(); err != nil {
		t.Error(err)
	}
}
