package squeeze

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestPackedAndWholeAgain(t *testing.T) {
	for _, data := range []string{"", "x", strings.Repeat("abc", 5000)} {
		packed := Pack([]byte(data))
		got, err := Unpack(packed, len(data))
		if err != nil || string(got) != data {
			t.Errorf("%d bytes came back as %d: %v", len(data), len(got), err)
		}
		if len(data) > 100 && len(packed) > len(data)/5 {
			t.Errorf("%d bytes were packed into %d", len(data), len(packed))
		}
	}
	if _, err := Unpack(Pack(make([]byte, 101)), 100); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too much: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(Pack([]byte("hello")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Unpack(data, 1000)
		if err == nil && len(got) > 1000 {
			t.Fatalf("%d bytes", len(got))
		}
		if again, err := Unpack(Pack(data), len(data)); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x came back as %x: %v", data, again, err)
		}
	})
}
