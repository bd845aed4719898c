package structs

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNodePoolValidate(t *testing.T) {
	cases := []struct {
		name string
		pool NodePool
		want []string // parts of the faults, in order
	}{
		{"the least", NodePool{Name: "gpu"}, nil},
		{"all there is", NodePool{
			Name: "GPU_1-a", Description: strings.Repeat("ü", 256), NodeIdentityTTL: time.Hour, Meta: map[string]string{"a": "b"},
			SchedulerConfiguration: &NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: new(true)},
		}, nil},
		{"no name", NodePool{}, []string{`invalid name ""`}},
		{"a name with a slash", NodePool{Name: "a/b"}, []string{`invalid name "a/b"`}},
		{"a long name", NodePool{Name: strings.Repeat("a", 129)}, []string{"1 to 128"}},
		{"built in", NodePool{Name: "all"}, []string{"built in"}},
		{"built in too", NodePool{Name: "default"}, []string{"built in"}},
		{"all at once", NodePool{
			Name: "a b", Description: strings.Repeat("x", 257), NodeIdentityTTL: -1,
			SchedulerConfiguration: &NodePoolSchedulerConfiguration{SchedulerAlgorithm: "random"},
		}, []string{"invalid name", "256 characters", "negative", `scheduler_config: scheduler algorithm "random" is unknown: use binpack or spread`}},
	}
	for _, test := range cases {
		err := test.pool.Validate()
		var all *ValidationError
		if !errors.As(err, &all) {
			all = &ValidationError{}
		}
		got := all.Messages()
		if len(got) != len(test.want) {
			t.Errorf("%s: faults %q, want %d", test.name, got, len(test.want))
			continue
		}
		for i, part := range test.want {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s: fault %q doesn't say %q", test.name, got[i], part)
			}
		}
	}
}

func TestNodePoolTimeToLiveIsText(t *testing.T) {
	p := NodePool{Name: "gpu"}
	p.Canonicalize()
	text, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(text), `"NodeIdentityTTL":"24h0m0s"`) {
		t.Errorf("%s: %v", text, err)
	}
	var back NodePool
	if err := json.Unmarshal([]byte(`{"Name":"gpu","NodeIdentityTTL":"90m"}`), &back); err != nil || back.NodeIdentityTTL != 90*time.Minute {
		t.Errorf("%+v: %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"Name":"gpu","NodeIdentityTTL":"soon"}`), &back); err == nil {
		t.Error("a time to live of soon is taken")
	}
}
