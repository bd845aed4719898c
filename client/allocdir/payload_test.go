package allocdir

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFileForATaskStaysWithIt(t *testing.T) {
	d, err := Base{Path: t.TempDir()}.Build("alloc")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.BuildTask(TaskOptions{Name: "t", UID: -1, GID: -1}); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteLocal("t", "in/data.txt", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(d.TaskPath("t"), LocalName, "in", "data.txt")); err != nil || string(data) != "hello" {
		t.Errorf("%q: %v", data, err)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(d.TaskPath("t"), LocalName, "out")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../secrets/x", "/etc/x", "out/x", "../../x"} {
		if err := d.WriteLocal("t", path, nil); err == nil {
			t.Errorf("%s was written", path)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v: %v", left, err)
	}
}
