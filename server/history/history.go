// Package history keeps on disk what leaves the state: jobs with their versions,
// evaluations, allocations and deployments that were swept or purged. It stands
// outside the Raft log: each server writes its own from what applying its log
// removes, so that all of them have the same, whoever leads.
//
// Applying never waits for it. What leaves the state goes into a queue in
// memory, from there into frames of records, compressed and summed up, at the
// end of the newest of a few segments; the oldest segments go when they are too
// old or all of them too large. A record's Position follows from the log, so
// nothing is written twice when the log is replayed, and pages are alike on every
// server. What a server can't know (it was handed a snapshot of the state, its
// queue was full, its disk damaged) is a gap: it is told; another server may have
// it.
//
// It must not know HTTP, Raft, or why something left the state. Begin reading at
// History, then intake.go for what comes in, writer.go for how it gets to the
// disk, and find.go for how it is read.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
)

// Bounds that nobody has asked to configure.
const (
	defaultQueue = 1 << 18
	// flushAfter is how long a record may wait in memory: its entry is in the log
	// all the while.
	flushAfter = 2 * time.Second
	// frameRecords is how many a frame holds at most.
	frameRecords = 256
	// minSegment and maxSegment bound the size of a segment, of which about
	// segmentShare make a whole history.
	minSegment   = 1 << 20
	maxSegment   = 16 << 20
	segmentShare = 16
	retryAfter   = 5 * time.Second
)

// DefaultMaxBytes and DefaultMaxAge are what a history may take unless it is told
// otherwise.
const (
	DefaultMaxBytes = 1 << 30
	DefaultMaxAge   = 14 * 24 * time.Hour
)

// Config is what a history must be told; zero values mean the defaults.
type Config struct {
	// Dir is the folder of the segments; it is made if it isn't there. "" keeps all in
	// the queue, for tests and simulations: such a history isn't run.
	Dir      string
	MaxBytes int64
	MaxAge   time.Duration
	// Queue is how many objects may wait for the disk.
	Queue  int
	Clock  clock.Clock
	Logger *slog.Logger
}

// History is the history of one server.
type History struct {
	cfg Config
	log *slog.Logger
	dec *zstd.Decoder

	mu sync.Mutex
	// queue is what isn't on disk yet, in order.
	queue []item
	// waiting is when the queue was last written, or found empty.
	waiting time.Time
	// seen is the last position taken in, or dropped.
	seen Position
	// dropping is set from an overflow until the queue is half empty.
	dropping bool
	// jumps are the positions at which something was missed since the last frame
	// was written: behind After nothing was recorded up to UpTo.
	jumps []Range

	segments []*segment
	mark     Position // on disk
	gaps     ranges
	bytes    int64
	counts   Counts

	bell chan struct{}
	// drained is closed and replaced whenever the queue got shorter.
	drained chan struct{}
	// wanted is how far the history must get to the disk at once.
	wanted Position
	pack   *packer
	file   *os.File // the newest segment, open for writing; nil: the next frame begins a new one
}

// Counts are figures about a history since it was opened.
type Counts struct {
	// Written and Dropped count objects, Damaged parts of files that can't be
	// read.
	Written, Dropped, Damaged uint64
	// Records, Bytes and Segments are what is on disk, Waiting what isn't yet.
	Records  uint64
	Bytes    int64
	Segments int
	Waiting  int
	Gaps     int
}

// Open reads what is in a folder. What a crash left unfinished is cut off, what
// is damaged is told and skipped.
func Open(cfg Config) (*History, error) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, DefaultMaxBytes)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, DefaultMaxAge)
	cfg.Queue = cmp.Or(cfg.Queue, defaultQueue)
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	h := &History{cfg: cfg, log: cfg.Logger.With(logx.KeyRoom, "history"), bell: make(chan struct{}, 1), drained: make(chan struct{})}
	if cfg.Dir == "" {
		return h, nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of the history: %w", err)
	}
	var err error
	if h.pack, err = newPacker(); err != nil {
		return nil, err
	}
	if h.dec, err = newUnpacker(); err != nil {
		return nil, err
	}
	if err := h.load(); err != nil {
		return nil, err
	}
	return h, nil
}

// load reads the heads of all frames.
func (h *History) load() error {
	numbers, err := segmentsIn(h.cfg.Dir)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		if err := h.loadSegment(n, i == len(numbers)-1); err != nil {
			return err
		}
	}
	h.seen = h.mark
	for _, g := range h.gaps {
		h.log.Warn("the history has a gap", logx.KeyIndex, g.After.Index, logx.KeyUpTo, g.UpTo.Index)
	}
	return nil
}

// loadSegment reads the heads of one segment's frames. The last one's contents are
// verified too, and it goes on growing if nothing in it is damaged.
func (h *History) loadSegment(number uint64, last bool) error {
	path := segmentPath(h.cfg.Dir, number)
	seg, skipped, end, err := openSegment(path, number, last)
	if err != nil {
		return err
	}
	for _, d := range skipped {
		h.damaged(path, d.from, d.to)
	}
	if last && end < seg.size {
		if err := h.cut(seg, end); err != nil {
			return err
		}
	}
	if seg.size == 0 {
		return nil
	}
	for i, fr := range seg.frames {
		if i == 0 && len(h.segments) == 0 && number > 1 {
			h.mark = fr.head.Base // what came before was too old, or too much
		}
		h.note(fr.head)
	}
	h.segments = append(h.segments, seg)
	h.bytes += seg.size
	if last && len(skipped) == 0 && len(seg.frames) > 0 {
		if h.file, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
			return fmt.Errorf("open history: %w", err)
		}
	}
	return nil
}

// note follows what a frame says about the gaps.
func (h *History) note(head *frameHead) {
	h.gaps = h.gaps.with(Range{h.mark, head.Base})
	h.mark = later(h.mark, head.Mark)
	h.counts.Records += uint64(head.Count)
}

// cut removes the end of a file that was never finished.
func (h *History) cut(seg *segment, end int64) error {
	h.log.Info("the end of the history was not finished when the server stopped: it is cut off, and written anew from the log",
		logx.KeyPath, seg.path, logx.KeyCount, seg.size-end)
	if len(seg.frames) == 0 {
		if err := os.Remove(seg.path); err != nil {
			return fmt.Errorf("cut history: %w", err)
		}
		seg.size = 0
		return nil
	}
	f, err := os.OpenFile(seg.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cut history: %w", err)
	}
	if err := errors.Join(f.Truncate(end), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cut history: %w", err)
	}
	seg.size = end
	return nil
}

func (h *History) damaged(path string, from, to int64) {
	h.counts.Damaged++
	h.log.Error("a part of the history is damaged; it is skipped", logx.KeyPath, path, logx.KeyFrom, from, logx.KeyUpTo, to)
}

// Counts returns figures.
func (h *History) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counts
	c.Bytes, c.Segments, c.Waiting, c.Gaps = h.bytes, len(h.segments), len(h.queue), len(h.gaps)+len(h.jumps)
	return c
}
