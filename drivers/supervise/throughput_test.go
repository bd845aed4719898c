//go:build linux

package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/loop"
)

// printed has one task print so many MiB of numbered lines and returns how long that
// took; every line must be there, once.
func printed(tb testing.TB, mib int) time.Duration {
	dir, logs := filepath.Join(tb.TempDir(), "s"), tb.TempDir()
	l := NewLauncher(nil)
	group := loop.New(context.Background())
	group.Go("reap", l.Run)
	defer func() { group.Stop(); _ = group.Wait() }()
	spec := &keeper.Spec{
		Task: "web", Path: "/bin/sh", Args: []string{"sh", "-c", fmt.Sprintf("yes 0123456789012345678901234567890123456789012345678901234567890 | head -c %d", mib<<20)},
		Dir: "/", Env: []string{"PATH=/bin:/usr/bin"}, Logs: keeper.Logs{Dir: logs, MaxFiles: 10, MaxBytes: int64(mib) << 18},
	}
	begin := time.Now()
	if _, err := l.Start(tb.Context(), dir, spec); err != nil {
		tb.Fatal(err)
	}
	if _, err := At(dir).Wait(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	took := time.Since(begin)
	var size int64
	files, err := filepath.Glob(filepath.Join(logs, "web.stdout.*"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			tb.Fatal(err)
		}
		size += info.Size()
	}
	if size != int64(mib)<<20 {
		tb.Fatalf("%d bytes are in %d files, %d were printed", size, len(files), mib<<20)
	}
	return took
}

// TestNothingOfAFloodIsLost keeps a task printing as fast as it can.
func TestNothingOfAFloodIsLost(t *testing.T) {
	took := printed(t, 64)
	t.Logf("64 MiB in %s", took)
}

// BenchmarkLogs is the throughput of one task's log: 1 GiB at a time.
func BenchmarkLogs(b *testing.B) {
	b.SetBytes(1 << 30)
	for b.Loop() {
		printed(b, 1024)
	}
}
