//go:build linux

package docker

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func frame(stream byte, text string) []byte {
	out := make([]byte, 8, 8+len(text))
	out[0] = stream
	binary.BigEndian.PutUint32(out[4:], uint32(len(text)))
	return append(out, text...)
}

func TestFramesComeApart(t *testing.T) {
	in := bytes.Join([][]byte{frame(1, "t1 out\n"), frame(2, "t2 err\n"), frame(1, "")}, nil)
	var got []string
	err := readFrames(bytes.NewReader(in), func(stream int, entry []byte) error {
		got = append(got, string(rune('0'+stream))+string(entry))
		return nil
	})
	if err != nil || strings.Join(got, "|") != "0t1 out\n|1t2 err\n|0" {
		t.Errorf("frames = %q, %v", got, err)
	}
	if err := readFrames(bytes.NewReader(frame(3, "the engine's trouble")), nil); err == nil || !strings.Contains(err.Error(), "trouble") {
		t.Errorf("the engine's own error is %v", err)
	}
}

func TestSkipperDropsWhatWasWritten(t *testing.T) {
	s := skipper{at: "2026-01-01T00:00:00.000000002Z", left: 2}
	var kept []int
	for i, stamp := range []string{
		"2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:00.000000002Z", "2026-01-01T00:00:00.000000002Z",
		"2026-01-01T00:00:00.000000002Z", "2026-01-01T00:00:00.000000003Z",
	} {
		if !s.skips(stamp) {
			kept = append(kept, i)
		}
	}
	if len(kept) != 2 || kept[0] != 3 || kept[1] != 4 {
		t.Errorf("kept = %v", kept)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(frame(1, "t x"))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = readFrames(bytes.NewReader(data), func(int, []byte) error { return nil })
		_ = readLines(bytes.NewReader(data), func(int, []byte) error { return nil })
	})
}
