package archive

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func archived(t testing.TB, state string) []byte {
	t.Helper()
	var out bytes.Buffer
	m := Meta{
		Index: 42, Term: 3, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Version: "1", Server: "s", Region: "r",
		Size: int64(len(state)), Tables: []Table{{Name: "Node", Count: 2, Bytes: 10}},
	}
	if err := Write(&out, m, strings.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(data []byte, most int64) (state string, m Meta, err error) {
	var out bytes.Buffer
	err = Read(bytes.NewReader(data), most, func(said Meta) (io.Writer, error) {
		m = said
		return &out, nil
	})
	return out.String(), m, err
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for _, want := range []string{"", "x", strings.Repeat("a state ", 100_000)} {
		state, m, err := read(archived(t, want), 1<<30)
		if err != nil || state != want {
			t.Fatalf("%d bytes, %v", len(state), err)
		}
		if m.Format != 1 || m.Index != 42 || m.Term != 3 || m.Time.Year() != 2026 || len(m.Tables) != 1 || m.ID() != "3-42-1767323045000" {
			t.Errorf("it says %+v", m)
		}
	}
}

func TestASizeThatIsWrongIsNotWritten(t *testing.T) {
	for _, size := range []int64{0, 3, 5} {
		if err := Write(io.Discard, Meta{Size: size}, strings.NewReader("four")); err == nil {
			t.Errorf("4 bytes were written as %d", size)
		}
	}
}

func TestAStateThatIsTooLargeIsRefused(t *testing.T) {
	_, _, err := read(archived(t, "12345678"), 7)
	if err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("8 bytes where 7 may be: %v", err)
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	whole := archived(t, "the state of a region")
	for n := range whole {
		if _, _, err := read(whole[:n], 1<<20); err == nil {
			t.Errorf("cut after %d of %d bytes: taken for whole", n, len(whole))
		}
		changed := bytes.Clone(whole)
		changed[n] ^= 0x41
		if state, m, err := read(changed, 1<<20); err == nil && (state != "the state of a region" || m.Index != 42) {
			t.Errorf("byte %d changed: read as %q, %+v", n, state, m)
		}
	}
	for _, other := range []string{"", "no archive", "\x1f\x8b and no archive"} {
		if _, _, err := read([]byte(other), 1<<20); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", other, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(archived(f, "a state"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, m, err := read(data, 1<<16)
		if err == nil && int64(len(state)) != m.Size {
			t.Errorf("%d bytes read of %d", len(state), m.Size)
		}
	})
}
