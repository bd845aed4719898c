package wire

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	When    time.Time
	Never   time.Time
	Took    time.Duration
	Yes     *bool
	Maybe   *bool
	Any     map[string]any
	Raw     []byte
	Weights map[string]float64
	Seed    [16]byte
	Huge    uint64
	Low     int64
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	yes := true
	in := sample{
		When: time.Unix(1700000000, 123456789).UTC(), Took: time.Minute, Yes: &yes, Raw: []byte{0, 255},
		Any:     map[string]any{"a": "x", "b": int64(-7), "c": []any{true, nil, 1.5}, "d": map[string]any{"e": "f"}},
		Weights: map[string]float64{"p": 0.1}, Seed: [16]byte{1, 15: 2}, Huge: 1<<64 - 1, Low: -1 << 63,
	}
	data, err := Marshal(&in)
	if err != nil {
		t.Fatal(err)
	}
	var out sample
	if err := Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("changed on the way (-in +out):\n%s", diff)
	}
	if !out.Never.IsZero() {
		t.Errorf("the zero time became %v", out.Never)
	}
	again, err := Marshal(&out)
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("equal values have different bytes (%v)", err)
	}
}

func TestTrailingBytesAreAnError(t *testing.T) {
	data, err := Marshal(map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]int
	if err := Unmarshal(append(data, 0), &out); err == nil {
		t.Error("a byte too many was accepted")
	}
}

func FuzzUnmarshal(f *testing.F) {
	data, err := Marshal(&sample{Any: map[string]any{"a": []any{1, "b"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(bytes.Repeat([]byte{0x91}, 5000))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(_ *testing.T, data []byte) {
		var s sample
		_ = Unmarshal(data, &s) // an error is fine, a panic or a flood of memory isn't
		var v any
		_ = Unmarshal(data, &v)
	})
}
