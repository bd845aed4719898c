// Package account measures what a server takes: its process by the kernel's and
// the runtime's own counts, its log by the entries it applies.
//
// It must not know what the entries do. Begin reading at Log and Process.
package account

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

// Log counts the entries that were applied. The zero value counts from zero.
type Log struct{ placements, status, other share }

type share struct{ entries, bytes atomic.Int64 }

// Add counts an entry of so many bytes.
func (l *Log) Add(entry command.Command, bytes int) {
	share := &l.other
	switch entry.(type) {
	case *command.ApplyPlans:
		share = &l.placements
	case *command.UpdateAllocs:
		share = &l.status
	}
	share.entries.Add(1)
	share.bytes.Add(int64(bytes))
}

// Figures returns what was counted.
func (l *Log) Figures() structs.LogFigures {
	return structs.LogFigures{Placements: l.placements.read(), Status: l.status.read(), Other: l.other.read()}
}

func (s *share) read() structs.LogShare {
	return structs.LogShare{Entries: s.entries.Load(), Bytes: s.bytes.Load()}
}

// Process measures this process. With collect garbage is collected first, so
// that the heap counts only what is in use.
func Process(collect bool) (structs.ProcessFigures, error) {
	if collect {
		runtime.GC()
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return structs.ProcessFigures{}, err
	}
	resident, err := residentBytes()
	if err != nil {
		return structs.ProcessFigures{}, err
	}
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	return structs.ProcessFigures{
		CPUNanos: use.Utime.Nano() + use.Stime.Nano(), ResidentBytes: resident, HeapBytes: int64(heap[0].Value.Uint64()),
	}, nil
}

// residentBytes is the second field of /proc/self/statm, in pages.
func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("read /proc/self/statm: unexpected form %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
