//go:build linux

package keeper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRotatorKeepsTheNewest writes any pieces in any number of sittings: the
// files that are left are within their bounds and hold the end of what was
// written.
func TestRotatorKeepsTheNewest(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "r")
		if err != nil {
			t.Fatal(err)
		}
		maxFiles := rapid.IntRange(1, 4).Draw(t, "files")
		maxBytes := rapid.IntRange(1, 40).Draw(t, "bytes")
		var all strings.Builder
		for range rapid.IntRange(1, 3).Draw(t, "sittings") {
			w, err := NewRotator(dir, "web.stdout", maxFiles, int64(maxBytes))
			if err != nil {
				t.Fatal(err)
			}
			for _, piece := range rapid.SliceOf(rapid.StringMatching(`[a-c\n]{0,60}`)).Draw(t, "pieces") {
				n, err := w.Write([]byte(piece))
				if err != nil || n != len(piece) {
					t.Fatalf("Write = %d, %v", n, err)
				}
				all.WriteString(piece)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		checkFiles(t, dir, maxFiles, maxBytes, all.String())
	})
}

func checkFiles(t *rapid.T, dir string, maxFiles, maxBytes int, all string) {
	r := &Rotator{dir: dir, name: "web.stdout"}
	indexes := r.indexes()
	if len(indexes) > maxFiles {
		t.Fatalf("%d files are left, %d are allowed", len(indexes), maxFiles)
	}
	newest := 0
	for _, i := range indexes {
		newest = max(newest, i)
	}
	var kept string
	for i := max(0, newest-maxFiles+1); i <= newest; i++ {
		data, err := os.ReadFile(r.path(i))
		if err != nil {
			t.Fatalf("a file is missing: %v", err)
		}
		if len(data) > maxBytes {
			t.Fatalf("file %d has %d bytes, %d are allowed", i, len(data), maxBytes)
		}
		kept += string(data)
	}
	if !strings.HasSuffix(all, kept) {
		t.Fatalf("what is left isn't the end of what was written:\n%q\n%q", kept, all)
	}
	if newest == 0 && kept != all {
		t.Fatalf("the first file lacks something:\n%q\n%q", kept, all)
	}
}

func TestRotatorKeepsLinesWhole(t *testing.T) {
	dir := t.TempDir()
	w, err := NewRotator(dir, "x", 3, 10)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := w.Write([]byte("1234567\n")); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range map[int]string{2: "1234567\n", 3: "1234567\n", 4: "1234567\n"} {
		data, err := os.ReadFile(w.path(i))
		if err != nil || string(data) != want {
			t.Errorf("file %d = %q, %v", i, data, err)
		}
	}
	_ = w.Close()
}

func TestRotatorRefusesLinks(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(target, filepath.Join(dir, "x.0")); err != nil {
		t.Fatal(err)
	}
	if _, err := NewRotator(dir, "x", 1, 10); err == nil {
		t.Error("a link is followed")
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("the link's target was made")
	}
}

// TestRotatorKeepsLogsWhileNoFileCanBeMade: what is written meanwhile is lost,
// what was written before is not.
func TestRotatorKeepsLogsWhileNoFileCanBeMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := NewRotator(dir, "x", 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) error {
		_, err := w.Write([]byte(text))
		return err
	}
	for _, text := range []string{"aaaa", "bbbb"} {
		if err := write(text); err != nil {
			t.Fatal(err)
		}
	}
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if write("cccc") == nil {
			t.Fatal("a file was made in a directory that isn't there: the test shows nothing")
		}
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if err := write("dddd"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"aaaa", "bbbb", "dddd"} {
		data, err := os.ReadFile(w.path(i))
		if err != nil || string(data) != want {
			t.Errorf("file %d = %q, %v, want %q", i, data, err, want)
		}
	}
}
