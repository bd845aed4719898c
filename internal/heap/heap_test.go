package heap

import (
	"context"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

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

func TestRoomFollowsTheMachine(t *testing.T) {
	const mib = 1 << 20
	for memory, want := range map[uint64]uint64{0: 32 * mib, 512 * mib: 32 * mib, 4096 * mib: 128 * mib, 1 << 40: 256 * mib} {
		if got := roomOf(memory); got != want {
			t.Errorf("with %d MiB of memory: %d MiB, want %d", memory/mib, got/mib, want/mib)
		}
	}
	if got := Room(); got < 32*mib || got > 256*mib {
		t.Errorf("on this machine: %d bytes", got)
	}
}

func TestTheLeastThatIsKnownCounts(t *testing.T) {
	unknown := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	for _, c := range []struct {
		what            string
		machine, cgroup memlimit.Provider
		want            uint64
	}{
		{"no limit", memlimit.Limit(8), unknown, 8},
		{"a limit", memlimit.Limit(8), memlimit.Limit(2), 2},
		{"a limit beyond the machine", memlimit.Limit(8), memlimit.Limit(1 << 60), 8},
		{"an unknown machine", unknown, memlimit.Limit(2), 2},
		{"a machine that says nothing", memlimit.Limit(0), memlimit.Limit(2), 2},
		{"nothing known", unknown, unknown, 0},
	} {
		if got := least(c.machine, c.cgroup); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// rule is the one in force. Only Keep sets it: setting it here, even for a
// moment, could undo what Keep sets meanwhile.
func rule() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

func TestTheRuleFollowsWhatIsInUse(t *testing.T) {
	const room = 64 << 20
	c := clock.NewManual(time.Unix(0, 0))
	group := loop.New(context.Background())
	group.Go("keep", func(ctx context.Context) error { return Keep(ctx, c, room) })
	follows := func(what string, holds func(int) bool) {
		t.Helper()
		runtime.GC()
		testx.Eventually(t, 10*time.Second, what, func() bool {
			c.Advance(look)
			return holds(rule())
		})
	}
	follows("little is in use", func(percent int) bool { return percent > Usual })
	ballast := make([]byte, room)
	follows("as much as the room is in use", func(percent int) bool { return percent == Usual })
	runtime.KeepAlive(ballast)
	follows("little is in use again", func(percent int) bool { return percent > Usual })
	group.Stop()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if percent := rule(); percent != Usual {
		t.Errorf("a rule of %d is left behind", percent)
	}
}

// deep waits with so many KiB of stack.
func deep(kib int, wait <-chan struct{}) byte {
	var frame [1024]byte
	if kib > 0 {
		frame[kib] = deep(kib-1, wait)
	} else {
		<-wait
	}
	return frame[kib]
}

func TestStacksAreInUse(t *testing.T) {
	const goroutines, kib = 1000, 16
	runtime.GC()
	before := inUse()
	group := loop.New(context.Background())
	for range goroutines {
		group.Go("wait", func(ctx context.Context) error {
			deep(kib, ctx.Done())
			return nil
		})
	}
	testx.Eventually(t, 10*time.Second, "the stacks count", func() bool {
		runtime.GC()
		return inUse() > before+goroutines*kib<<10
	})
	group.Stop()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
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
	testx.Eventually(t, 10*time.Second, "the rule is set", func() bool { return rule() > Usual })
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
