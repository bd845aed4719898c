package replica

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

func TestRecordsOpenAsSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &raft.Log{
			Index: rapid.Uint64().Draw(t, "index"), Term: rapid.Uint64().Draw(t, "term"),
			Type: raft.LogType(rapid.IntRange(0, 5).Draw(t, "type")),
			Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"), Extensions: rapid.SliceOf(rapid.Byte()).Draw(t, "extensions"),
		}
		sealed := sealRecord(l, rapid.Uint64().Draw(t, "durable"))
		opened := *sealed
		if err := openRecord(l.Index, &opened); err != nil || !bytes.Equal(opened.Data, l.Data) {
			t.Fatalf("opened %v, %v", opened, err)
		}
		bad := *sealed
		bad.Data = bytes.Clone(sealed.Data)
		switch rapid.IntRange(0, 4).Draw(t, "damage") {
		case 0:
			at := rapid.IntRange(0, len(bad.Data)-1).Draw(t, "at")
			bad.Data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			bad.Term++
		case 2:
			bad.Type++
		case 3:
			bad.Data = bad.Data[:rapid.IntRange(0, len(bad.Data)-1).Draw(t, "cut")]
		case 4:
			bad.Extensions = append(bytes.Clone(bad.Extensions), 1)
		}
		if err := openRecord(l.Index, &bad); err == nil {
			t.Fatal("a damaged record was opened")
		}
	})
}

// The search must find headers wherever they lie, also across the borders of
// what it reads at once.
func TestDurableIsFoundAnywhere(t *testing.T) {
	header := sealRecord(&raft.Log{Index: 8}, 7).Data[:recordHeader]
	path := filepath.Join(t.TempDir(), "log")
	for _, at := range []int{0, 1, 1000, 1<<20 - 40, 1<<20 - 31, 1<<20 - 1, 1 << 20, 2<<20 - 17, 2<<20 + 5} {
		raw := make([]byte, at+recordHeader+3)
		copy(raw[at:], header)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := highestDurable(path); got != 7 || err != nil {
			t.Errorf("at byte %d: %d, %v", at, got, err)
		}
	}
	if got, err := highestDurable(path + "not there"); got != 0 || err != nil {
		t.Errorf("a file that isn't there: %d, %v", got, err)
	}
}
