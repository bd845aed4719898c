package structs

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-msgpack/v2/codec"
)

// The log and the link write these types as msgpack with a plain handle:
// nothing may get lost, a node's secret least of all.
func TestMsgpackLosesNothing(t *testing.T) {
	packed(t, populated[Job]())
	packed(t, populated[Node]())
	packed(t, populated[Allocation]())
	packed(t, populated[Evaluation]())
	packed(t, populated[Deployment]())
	packed(t, populated[NodePool]())
	packed(t, &Job{})
}

func packed[T any](t *testing.T, v *T) {
	t.Helper()
	h := &codec.MsgpackHandle{WriteExt: true}
	h.RawToString = true
	h.MapType = reflect.TypeFor[map[string]any]()
	var buf bytes.Buffer
	if err := codec.NewEncoder(&buf, h).Encode(v); err != nil {
		t.Fatalf("encode %T: %v", v, err)
	}
	out := new(T)
	if err := codec.NewDecoder(&buf, h).Decode(out); err != nil {
		t.Fatalf("decode %T: %v", v, err)
	}
	if d := cmp.Diff(v, out); d != "" {
		t.Errorf("%T through msgpack (-before +after):\n%s", v, d)
	}
}

func TestNodeSecretStaysOutOfJSON(t *testing.T) {
	data, err := json.Marshal(&Node{ID: "n", SecretID: "hidden-value"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "hidden-value") {
		t.Errorf("the node's secret is in its JSON: %s", data)
	}
}

func TestDurationsAsText(t *testing.T) {
	var j Job
	source := `{"ID":"j","taskgroups":[{"Name":"g","ShutdownDelay":"3s","Update":{"MinHealthyTime":"1m30s","HealthyDeadline":5},
		"Services":[{"Checks":[{"Interval":"10s"}]}],
		"Tasks":[{"Name":"t","Config":{"Timeout":"7s"},"KillTimeout":"20s"}]}]}`
	if err := json.Unmarshal([]byte(source), &j); err != nil {
		t.Fatal(err)
	}
	g := j.TaskGroups[0]
	got := []time.Duration{
		*g.ShutdownDelay, *g.Update.MinHealthyTime, *g.Update.HealthyDeadline,
		g.Services[0].Checks[0].Interval, *g.Tasks[0].KillTimeout,
	}
	want := []time.Duration{3 * time.Second, 90 * time.Second, 5, 10 * time.Second, 20 * time.Second}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if c := g.Tasks[0].Config["Timeout"]; c != "7s" {
		t.Errorf("a driver's own text became %v", c)
	}
}

func TestDurationsThatAreNone(t *testing.T) {
	for source, want := range map[string]string{
		`{"TaskGroups":[{"Tasks":[{"KillTimeout":"soon"}]}]}`: `read Job.TaskGroups[0].Tasks[0].KillTimeout: "soon" is not a duration such as "30s" or "1h"`,
		`{"TaskGroups":"x"}`: "cannot unmarshal string",
		`{"ID":3}`:           "cannot unmarshal number",
	} {
		var j Job
		err := json.Unmarshal([]byte(source), &j)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}
