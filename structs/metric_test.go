package structs

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScorePartsAreAnObject(t *testing.T) {
	for text, want := range map[string]ScoreParts{
		`null`:                {},
		`{}`:                  {},
		`{"a":-0.5,"b":0.25}`: {{Name: "a", Value: -0.5}, {Name: "b", Value: 0.25}},
	} {
		var got ScoreParts
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
			t.Fatalf("%s is %+v, %v", text, got, err)
		}
		if back, err := json.Marshal(got); err != nil || string(back) != text {
			t.Errorf("%s becomes %s, %v", text, back, err)
		}
		if got.Get("b") != want.Get("b") || got.Get("c") != 0 {
			t.Errorf("b of %s is %v", text, got.Get("b"))
		}
	}
	var got ScoreParts
	if err := json.Unmarshal([]byte(`{"a":"b"}`), &got); err == nil {
		t.Error("a text is no score")
	}
}
