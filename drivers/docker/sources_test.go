//go:build linux

package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
)

// A task that runs beside swaps a directory for a link out of the allocation
// while its sibling's mounts are made.
func TestASwappedLinkIsNeverMounted(t *testing.T) {
	base, secret := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	task := &drivers.TaskConfig{Name: "web", AllocDir: base}
	shared := filepath.Join(base, "alloc", "data")
	for _, dir := range []string{filepath.Join(shared, "real"), filepath.Join(base, "web")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link, spare := filepath.Join(shared, "dir"), filepath.Join(shared, "spare")
	group := loop.New(t.Context())
	group.Go("swap", func(ctx context.Context) error {
		for ctx.Err() == nil {
			for _, target := range []string{secret, "real", "../../../../../../../../" + secret} {
				_ = os.Symlink(target, spare)
				_ = os.Rename(spare, link)
			}
		}
		return nil
	})
	defer func() { group.Stop(); _ = group.Wait() }()
	plugin := &pluginConfig{Volumes: &volumes{}}
	good, refused := 0, 0
	for range 3000 {
		s := &sources{stage: os.Geteuid() == 0}
		got, err := s.path("../alloc/data/dir", task, plugin, false)
		switch {
		case err != nil:
			refused++
		default:
			good++
			if _, err := os.Lstat(filepath.Join(got, "f")); err == nil {
				t.Errorf("what lies outside is mounted by %s", got)
			}
		}
		s.close()
	}
	if good == 0 || refused == 0 {
		t.Errorf("%d good, %d refused: the race wasn't one", good, refused)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), base) {
		t.Errorf("mounts are left: %v", err)
	}
}

func TestWhatAnInterruptedStartMountedGoes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, mounting needs root")
	}
	base := t.TempDir()
	task := &drivers.TaskConfig{Name: "web", AllocDir: base}
	if err := os.MkdirAll(filepath.Join(base, "web", "local"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &sources{stage: true}
	got, err := s.path("local", task, &pluginConfig{Volumes: &volumes{}}, false)
	if err != nil {
		t.Skipf("SKIPPED, mounts can't be made here: %v", err)
	}
	if err := os.WriteFile(filepath.Join(base, "web", "local", "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	clearStaging(task)
	if _, err := os.Lstat(got); err == nil {
		t.Errorf("%s is left", got)
	}
	if _, err := os.Lstat(filepath.Join(base, "web", "local", "kept")); err != nil {
		t.Errorf("what was mounted is gone, too: %v", err)
	}
}
