package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
)

// flushBytes is about how much is written at once.
const flushBytes = 4 << 20

// Run writes what comes in until ctx ends, then what is left, and closes the
// history.
func (h *History) Run(ctx context.Context) error {
	defer h.close()
	failed := false
	for {
		wait, idle := h.due(failed)
		if wait == 0 && !idle {
			wait = -1 // at once
		}
		if _, err := loop.Wait(ctx, h.cfg.Clock, wait, h.bell); err != nil {
			for more := true; more; {
				if more, err = h.flush(); err != nil {
					h.log.Error("the end of the history could not be written; it is written from the log at the next start", logx.KeyError, err)
					break
				}
			}
			return nil
		}
		if wait, idle = h.due(false); idle || wait > 0 {
			continue
		}
		_, err := h.flush()
		if err != nil && !failed {
			h.log.Error("the history could not be written; this is tried again", logx.KeyError, err)
		}
		failed = err != nil
		h.retire()
	}
}

// due returns how long the writer may rest; idle if nothing is there to do.
func (h *History) due(failed bool) (rest time.Duration, idle bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case failed:
		return retryAfter, false
	case h.mark.before(h.wanted), len(h.queue) >= frameRecords:
		return 0, false
	case len(h.queue) == 0 && len(h.jumps) == 0:
		return 0, true
	}
	since := h.cfg.Clock.Now().Sub(h.waiting)
	return max(0, flushAfter-since), false
}

// draft is what one flush is about to write.
type draft struct {
	queue  []item
	jumps  []Range
	seen   Position
	mark   Position
	bytes  []byte
	frames []*frame // offsets are counted from the draft's beginning
	taken  int      // items of the queue
	lost   int      // items that can't be written at all
}

// flush writes a part of what waits, and reports whether more is left.
func (h *History) flush() (more bool, err error) {
	h.mu.Lock()
	d := &draft{queue: h.queue, jumps: append([]Range(nil), h.jumps...), seen: h.seen, mark: h.mark}
	h.mu.Unlock()
	for len(d.bytes) < flushBytes && !d.done() {
		if err := h.add(d); err != nil {
			return true, err
		}
	}
	return h.write(d)
}

func (d *draft) done() bool { return d.taken == len(d.queue) && !d.mark.before(d.seen) }

// add makes the draft's next frame.
func (h *History) add(d *draft) error {
	base := d.passJumps()
	for n := d.run(); ; n /= 2 {
		var records []*record
		for i := range n {
			if r := d.queue[d.taken+i].record(); r != nil {
				records = append(records, r)
			}
		}
		raw, head, err := h.pack.frame(frameHead{Base: base, Mark: d.markAfter(base, n)}, records)
		switch {
		case err == nil:
			return d.append(raw, head, n)
		case n > 1:
			continue // fewer may fit
		case n == 1:
			return h.leaveOut(d, err)
		}
		return err
	}
}

// passJumps returns where the draft's next frame begins: behind what was missed
// before the next item.
func (d *draft) passJumps() Position {
	base, rest := d.mark, d.queue[d.taken:]
	for len(d.jumps) > 0 && (len(rest) == 0 || d.jumps[0].UpTo.before(rest[0].at)) {
		base = later(base, d.jumps[0].UpTo)
		d.jumps = d.jumps[1:]
	}
	return base
}

// run is how many items the draft's next frame may take: no more than a frame
// holds, and none from behind something that was missed.
func (d *draft) run() int {
	rest := d.queue[d.taken:]
	n := 0
	for n < len(rest) && n < frameRecords && (len(d.jumps) == 0 || !d.jumps[0].After.before(rest[n].at)) {
		n++
	}
	return max(n, min(1, len(rest))) // never stand still, whatever the gaps say
}

// markAfter is how far the history goes with a frame of n items.
func (d *draft) markAfter(base Position, n int) Position {
	rest := d.queue[d.taken:]
	switch {
	case n == len(rest) && len(d.jumps) == 0:
		return later(d.seen, base)
	case n > 0:
		return rest[n-1].at
	}
	return base
}

// leaveOut makes a frame that tells of an item that can't be kept.
func (h *History) leaveOut(d *draft, why error) error {
	at := d.queue[d.taken].at
	h.log.Error("an object can't be kept in the history", logx.KeyIndex, at.Index, logx.KeyError, why)
	d.lost++
	raw, head, err := h.pack.frame(frameHead{Base: later(d.mark, at), Mark: later(d.mark, at)}, nil)
	if err != nil {
		return err
	}
	return d.append(raw, head, 1)
}

func (d *draft) append(raw []byte, head *frameHead, items int) error {
	size, err := sizeOf(raw)
	if err != nil {
		return fmt.Errorf("write history: the size of a new frame: %w", err)
	}
	d.frames = append(d.frames, &frame{offset: int64(len(d.bytes)), size: size, head: head})
	d.bytes = append(d.bytes, raw...)
	d.taken += items
	d.mark = later(d.mark, head.Mark)
	return nil
}

// write puts a draft on disk, then lets it count.
func (h *History) write(d *draft) (more bool, err error) {
	if len(d.frames) == 0 {
		h.settle(d, nil)
		return false, nil
	}
	seg, err := h.room(int64(len(d.bytes)))
	if err != nil {
		return true, err
	}
	at := seg.size
	if _, err := h.file.WriteAt(d.bytes, at); err != nil {
		return true, errors.Join(fmt.Errorf("write history: %w", err), h.giveUp(seg))
	}
	if err := h.file.Sync(); err != nil {
		return true, errors.Join(fmt.Errorf("write history: %w", err), h.giveUp(seg))
	}
	for _, fr := range d.frames {
		fr.seg, fr.offset = seg, fr.offset+at
	}
	return h.settle(d, seg), nil
}

// settle lets what was written count, and wakes those who wait for it.
func (h *History) settle(d *draft, seg *segment) (more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, fr := range d.frames {
		seg.add(fr)
		h.note(fr.head)
		h.counts.Written += uint64(fr.head.Count)
	}
	if seg != nil {
		seg.size += int64(len(d.bytes))
		h.bytes += int64(len(d.bytes))
	}
	h.counts.Dropped += uint64(d.lost)
	h.queue = h.queue[d.taken:]
	if len(h.queue) == 0 {
		h.queue = nil // what it held may be forgotten
	}
	var jumps []Range
	for _, j := range h.jumps {
		if j.After = later(j.After, h.mark); !j.empty() {
			jumps = append(jumps, j)
		}
	}
	h.jumps = jumps
	h.waiting = h.cfg.Clock.Now()
	close(h.drained)
	h.drained = make(chan struct{})
	return len(h.queue) > 0 || len(h.jumps) > 0
}

// room returns the segment that takes so many more bytes, open for writing.
func (h *History) room(bytes int64) (*segment, error) {
	limit := min(max(h.cfg.MaxBytes/segmentShare, minSegment), maxSegment)
	h.mu.Lock()
	var last *segment
	if n := len(h.segments); n > 0 {
		last = h.segments[n-1]
	}
	h.mu.Unlock()
	if h.file != nil && last != nil && (last.size+bytes <= limit || last.size <= int64(len(segmentMagic))) {
		return last, nil
	}
	if h.file != nil {
		if err := h.file.Close(); err != nil {
			h.log.Warn("a segment of the history was not closed cleanly", logx.KeyError, err)
		}
		h.file = nil
	}
	seg := &segment{number: 1, size: int64(len(segmentMagic))}
	if last != nil {
		seg.number = last.number + 1
	}
	seg.path = segmentPath(h.cfg.Dir, seg.number)
	f, err := os.OpenFile(seg.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin a segment of the history: %w", err)
	}
	if _, err = f.WriteString(segmentMagic); err == nil {
		err = errors.Join(f.Sync(), syncDir(h.cfg.Dir))
	}
	if err != nil {
		return nil, fmt.Errorf("begin a segment of the history: %w", errors.Join(err, f.Close(), os.Remove(seg.path)))
	}
	h.file = f
	h.mu.Lock()
	h.segments = append(h.segments, seg)
	h.bytes += seg.size
	h.mu.Unlock()
	return seg, nil
}

// giveUp takes back what was written in part. If that fails too, the next frame
// begins a new segment: what is left in this one is skipped.
func (h *History) giveUp(seg *segment) error {
	err := h.file.Truncate(seg.size)
	if err != nil {
		err = errors.Join(err, h.file.Close())
		h.file = nil
	}
	return err
}

// retire removes segments that are too old, or too much.
func (h *History) retire() {
	h.mu.Lock()
	oldest := h.cfg.Clock.Now().Add(-h.cfg.MaxAge).UnixNano()
	var gone []*segment
	for len(h.segments) > 1 && (h.bytes > h.cfg.MaxBytes || h.segments[0].newest < oldest) {
		s := h.segments[0]
		h.segments = h.segments[1:]
		h.bytes -= s.size
		for _, fr := range s.frames {
			h.counts.Records -= uint64(fr.head.Count)
		}
		gone = append(gone, s)
	}
	if len(gone) > 0 {
		if first := h.segments[0]; len(first.frames) > 0 {
			h.gaps = h.gaps.without(Range{UpTo: first.frames[0].head.Base})
		}
	}
	h.mu.Unlock()
	for _, s := range gone {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			h.log.Warn("an old segment of the history could not be removed", logx.KeyPath, filepath.Base(s.path), logx.KeyError, err)
		}
	}
}

func (h *History) close() {
	if h.file != nil {
		_ = h.file.Close() // everything in it was synced
		h.file = nil
	}
	_ = h.pack.enc.Close() // it holds nothing
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
