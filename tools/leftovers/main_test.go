package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
)

func TestWhatIsMoreThanBeforeIsTold(t *testing.T) {
	before := map[string][]string{"mount": {"a"}, "cgroup": {"x"}}
	got := beyond(before, map[string][]string{"mount": {"a", "b"}, "cgroup": nil, "netns": {"n"}})
	if strings.Join(got, "|") != "mount b|netns n" {
		t.Errorf("%q", got)
	}
}

// A task's process is known by the folder of its test, whatever it is called.
func TestAProcessOfATestIsSeenUntilItEnds(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("/bin/sh", "-c", "read x", filepath.Join(dir, "task"))
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	seen := func() bool { return len(matching(processes("/proc"), dir)) > 0 }
	testx.Eventually(t, 10*time.Second, "the process is seen", seen)
	_ = out.Close()
	_ = cmd.Wait() // it reads to the end of nothing
	if seen() {
		t.Error("a process that has ended is seen")
	}
}
