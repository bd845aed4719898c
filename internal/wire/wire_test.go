package wire

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-msgpack/v2/codec"
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

type part struct{ X, Y int }

type whole struct {
	part  // not exported: its fields are
	Part  part
	Named part `codec:"n"`
	Gone  int  `codec:"-"`
	Kept  int  `json:"-" codec:"kept"`
	Lists [][]string
	Map   map[string]*part
	Array [3]int8
	Bytes [4]byte
	F32   float32
	U16   uint16
	Ptr   **int
	Empty []string
	None  map[string]int
	Any   any
}

// What we encode, the library reads just as what it encodes itself.
func TestTheLibraryAgrees(t *testing.T) {
	n := -129
	p := &n
	for name, v := range map[string]*whole{
		"zero": {},
		"full": {
			part: part{1, -33}, Part: part{X: 127}, Named: part{Y: -32768}, Kept: 1 << 40,
			Lists: [][]string{{"a", ""}, nil, {}}, Map: map[string]*part{"z": {X: 1 << 20}, "a": nil, "": {}},
			Array: [3]int8{-128, 0, 127}, Bytes: [4]byte{255, 0, 1, 2}, F32: 1.5, U16: 65535, Ptr: &p,
			Empty: []string{}, None: map[string]int{}, Any: map[string]any{"t": true, "f": -1.5, "l": []any{int64(300), "s", nil}},
		},
		"long": {Lists: [][]string{make([]string, 70000)}, Any: string(make([]byte, 300)), Kept: -1 << 33},
	} {
		var library []byte
		if err := codec.NewEncoderBytes(&library, handle).Encode(v); err != nil {
			t.Fatal(err)
		}
		ours, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var want, got whole
		if err := Unmarshal(library, &want); err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal(ours, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(whole{})); diff != "" {
			t.Errorf("%s (-library +ours):\n%s", name, diff)
		}
		if len(ours) > len(library) {
			t.Errorf("%s: %d bytes, the library needs %d", name, len(ours), len(library))
		}
	}
	for _, v := range []any{map[int]string{1: "a"}, make(chan int), struct{ F func() }{func() {}}} {
		if _, err := Marshal(v); err == nil {
			t.Errorf("%T was encoded", v)
		}
	}
}

// What a value of a map leaves out is zero, whatever the value before it had.
// Maps of structs would be read otherwise, so they are not written.
func TestValuesOfAMapDontLeakIntoTheNext(t *testing.T) {
	type nested struct {
		N    int
		Of   map[string]*part
		List []part
	}
	in := map[string]*nested{
		"a": {N: 1, Of: map[string]*part{"x": {X: 1}, "y": {Y: 2}}, List: []part{{X: 3}, {Y: 4}}},
		"b": {Of: map[string]*part{"x": {Y: 5}, "z": {}}},
		"c": {List: []part{{}, {X: 6}}},
		"d": {},
	}
	data, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]*nested
	if err := Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("changed on the way (-in +out):\n%s", diff)
	}
	if _, err := Marshal(map[string]part{"a": {X: 1}, "b": {Y: 2}}); err == nil {
		t.Error("a map of structs was encoded")
	}
}
