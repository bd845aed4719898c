package pause

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func TestTheProgramIsAnExecutable(t *testing.T) {
	for arch, m := range machines {
		f, err := elf.NewFile(bytes.NewReader(executable(m)))
		if err != nil {
			t.Fatalf("%s: %v", arch, err)
		}
		if f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Progs[0].Filesz != uint64(120+len(m.code)) || f.Entry != f.Progs[0].Vaddr+120 {
			t.Errorf("%s: %+v", arch, f.FileHeader)
		}
		if data, err := Archive(arch); err != nil || len(data) == 0 {
			t.Errorf("%s: %v", arch, err)
		}
	}
	if _, err := Archive("pdp11"); err == nil {
		t.Error("there is a program for an unknown machine")
	}
}

func TestTheProgramWaits(t *testing.T) {
	m, ok := machines[runtime.GOARCH]
	if !ok || runtime.GOOS != "linux" {
		t.Skip("SKIPPED, it isn't of this machine")
	}
	path := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(path, executable(m), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var exit *exec.ExitError
	err := exec.CommandContext(ctx, path).Run()
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended by itself: %v", err)
	}
}
