//go:build linux

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/testx"
)

func TestIdentity(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !id.Alive() {
		t.Fatal("a running process isn't alive")
	}
	other := id
	other.Start++
	if other.Alive() || !errors.Is(other.Signal(syscall.SIGKILL), ErrGone) {
		t.Fatal("another start time names the same process")
	}
	if err := id.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 5*time.Second, "the process ends", func() bool { return !id.Alive() })
	_ = cmd.Wait()
	if _, err := Of(cmd.Process.Pid); !errors.Is(err, ErrGone) {
		t.Fatalf("Of an ended process = %v", err)
	}
	if err := id.Signal(syscall.SIGTERM); !errors.Is(err, ErrGone) {
		t.Fatalf("Signal to an ended process = %v", err)
	}
	if self, err := Of(os.Getpid()); err != nil || self.Boot == "" {
		t.Fatalf("Of(self) = %+v, %v", self, err)
	}
}
