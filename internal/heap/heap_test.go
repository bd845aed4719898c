package heap

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
)

func TestPercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		what        string
		room, inUse uint64
		want        int
	}{
		{"a small heap may grow by the room", 128 * mib, 64 * mib, 200},
		{"a tiny one too, and no division by nothing", 128 * mib, 0, 3200},
		{"in steps", 128 * mib, 60 * mib, 200},
		{"a large heap follows the usual rule", 128 * mib, 4096 * mib, Usual},
		{"as does one that is as large as the room", 128 * mib, 128 * mib, Usual},
		{"no room is the usual rule", 0, 64 * mib, Usual},
	} {
		if got := Percent(c.room, c.inUse); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

var sink []byte

// Under Keep 64 MiB of garbage are left alone; afterwards they are not.
func TestGarbageIsLeftAloneWhileThereIsRoom(t *testing.T) {
	spend := func() (collections uint64) {
		runtime.GC()
		before := cycles()
		for range 64 {
			sink = make([]byte, 1<<20)
		}
		return cycles() - before
	}
	group := loop.New(context.Background())
	group.Go("keep", func(ctx context.Context) error { return Keep(ctx, clock.NewManual(time.Unix(0, 0)), 256<<20) })
	testx.Eventually(t, 10*time.Second, "the rule is set", func() bool {
		now := debug.SetGCPercent(Usual)
		debug.SetGCPercent(now)
		return now > Usual
	})
	if n := spend(); n > 1 {
		t.Errorf("%d collections although there was room", n)
	}
	group.Stop()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := spend(); n < 3 {
		t.Errorf("%d collections under the usual rule", n)
	}
}

func cycles() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestTheUserDecides(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	if UserDecides() {
		t.Error("nothing was said")
	}
	t.Setenv("GOGC", "50")
	if !UserDecides() {
		t.Error("GOGC was set")
	}
}
