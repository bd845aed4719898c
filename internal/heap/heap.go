// Package heap says how much garbage a process may gather before it is
// collected. The runtime collects whenever the heap has doubled: a server that
// keeps little and handles much would spend a quarter of its time on that.
//
// It must not know whose memory it is. Begin reading at Keep, then Room.
package heap

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/steppe-run/steppe/internal/clock"
)

// Usual is the runtime's own rule: a heap may grow by this percentage of what
// is in use before it is collected.
const Usual = 100

// look is how often Keep looks at what is in use.
const look = time.Second

// UserDecides reports whether the environment says how to collect garbage:
// then nobody else should.
func UserDecides() bool { return os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" }

// A machine gives a 32nd of its memory for garbage. More than the most saves
// nothing: memory that is used again is nearer to the processor than memory that
// wasn't yet.
const (
	portion   = 32
	leastRoom = 32 << 20
	mostRoom  = 256 << 20
)

// Room is how many bytes of garbage a process should be let gather on this
// machine, and in its control group if that has a limit.
func Room() uint64 { return roomOf(least(memlimit.FromSystem, memlimit.FromCgroup)) }

// least is the smallest amount that is known, 0 if none is.
func least(known ...memlimit.Provider) (memory uint64) {
	for _, ask := range known {
		if limit, err := ask(); err == nil && limit > 0 && (memory == 0 || limit < memory) {
			memory = limit
		}
	}
	return memory
}

func roomOf(memory uint64) uint64 { return min(max(memory/portion, leastRoom), mostRoom) }

// Keep lets the process gather at least room bytes of garbage between two
// collections, and as much as is in use once that is more. It ends with ctx and
// leaves the usual rule behind.
func Keep(ctx context.Context, c clock.Clock, room uint64) error {
	defer debug.SetGCPercent(Usual)
	for last := Usual; ; {
		if next := Percent(room, inUse()); next != last {
			debug.SetGCPercent(next)
			last = next
		}
		timer := c.NewTimer(look)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
}

// inUse is what the last collection found in use. The rule counts stacks and
// variables too: a server has several goroutines for each node.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		sum += s.Value.Uint64()
	}
	return sum
}

// steps is how finely the rule follows what is in use: setting it stops the
// process for a moment.
const steps = 25

// Percent is the rule under which a heap with so much in use may grow by room
// bytes: never less than the usual one.
func Percent(room, inUse uint64) int {
	const smallest = 4 << 20 // the runtime never collects a smaller heap
	percent := room * 100 / max(inUse, smallest)
	return max(Usual, int(percent/steps*steps))
}
