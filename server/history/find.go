package history

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/structs"
)

// Query says what is asked of a history. Zero values ask for everything.
type Query struct {
	// Namespace is one, or all if it is "*" or empty.
	Namespace string
	// Kind is one of structs.HistoryJob and so on.
	Kind string
	// JobID is a whole one, Prefix the beginning of an object's ID.
	JobID, Prefix string
	// Since and Until bound when the object left the state.
	Since, Until time.Time
	// Before asks for older positions than this, After for newer ones.
	Before, After Position
	// Limit is how many are wanted at most.
	Limit int
	// Objects asks for the objects too.
	Objects bool
}

// Page is an answer, newest first.
type Page struct {
	Entries []*structs.HistoryEntry
	// Next is what Before must be to go on; zero if there is no more.
	Next Position
	// Gaps are those that touch what was asked for.
	Gaps []Range
	// UpTo is how far the history goes.
	UpTo Position
}

const (
	defaultLimit = 100
	maxLimit     = 1000
	// maxFrames bounds what one query unpacks: who asks for what is rare goes on
	// with the next page.
	maxFrames = 512
)

// Find returns a page of what left the state.
func (h *History) Find(ctx context.Context, q Query) (Page, error) {
	s := h.search(q)
	for len(s.page.Entries) < s.limit {
		if err := ctx.Err(); err != nil {
			return Page{}, err
		}
		r, err := s.next()
		if err != nil {
			return Page{}, err
		}
		if r == nil {
			return s.page, nil
		}
		e, err := r.entry(q.Objects)
		if err != nil {
			h.log.Error("a record of the history can't be read", logx.KeyIndex, r.head.At.Index, logx.KeyError, err)
			continue
		}
		s.page.Entries = append(s.page.Entries, e)
		s.page.Next = r.head.At
	}
	return s.page, s.last()
}

// search is one query on its way: frames by their last position, and records
// that were read and not yet given out, both with the newest at the end.
type search struct {
	h      *History
	want   wanted
	limit  int
	frames []*frame
	ready  []*record
	opened int
	given  Position // the last one
	page   Page
}

// wanted is a query made ready to be compared with.
type wanted struct {
	Query
	kind       uint8
	keys       []string // each frame must have all of them
	from, upTo int64    // times
}

// search begins a query on what is there now.
func (h *History) search(q Query) *search {
	w := wanted{Query: q, upTo: 1<<63 - 1}
	w.Prefix = strings.ToLower(q.Prefix)
	w.from = h.cfg.Clock.Now().Add(-h.cfg.MaxAge).UnixNano()
	if !q.Since.IsZero() {
		w.from = max(w.from, q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		w.upTo = q.Until.UnixNano()
	}
	if w.Namespace == structs.AllNamespaces {
		w.Namespace = ""
	}
	w.kind, _ = kindNumber(q.Kind)
	switch {
	case q.JobID != "" && w.Namespace != "":
		w.keys = append(w.keys, jobKey(w.Namespace, q.JobID))
	case q.JobID != "":
		w.keys = append(w.keys, anyJobKey(q.JobID))
	}
	if len(w.Prefix) >= prefixKey {
		w.keys = append(w.keys, idKey(w.Prefix))
	}
	if w.Before.zero() {
		w.Before = after(1<<64 - 1)
	}
	s := &search{h: h, want: w, limit: min(cmp.Or(q.Limit, defaultLimit), maxLimit)}
	queue, frames := s.look()
	for _, list := range frames {
		for _, fr := range list {
			if w.mayHold(fr.head) {
				s.frames = append(s.frames, fr)
			}
		}
	}
	slices.SortStableFunc(s.frames, func(a, b *frame) int { return a.head.High.compare(b.head.High) })
	for i := range queue {
		if w.couldBe(&queue[i]) {
			if r := queue[i].record(); r != nil && w.matches(&r.head) {
				s.ready = append(s.ready, r)
			}
		}
	}
	return s
}

// look takes what there is at one moment. Nothing of it is ever changed, so that
// it is read without holding up who applies.
func (s *search) look() (queue []item, frames [][]*frame) {
	h, w := s.h, &s.want
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, seg := range h.segments {
		frames = append(frames, seg.frames)
	}
	s.page.UpTo = h.seen
	for _, g := range append(slices.Clone(h.gaps), h.jumps...) {
		if w.After.before(g.UpTo) && g.After.before(w.Before) {
			s.page.Gaps = append(s.page.Gaps, g)
		}
	}
	return h.queue, frames
}

// couldBe rules out items without making their objects.
func (w *wanted) couldBe(i *item) bool {
	return w.inside(i.at) && (w.Namespace == "" || i.event.Namespace() == w.Namespace) &&
		(w.Prefix == "" || strings.HasPrefix(strings.ToLower(i.event.Key()), w.Prefix))
}

func (w *wanted) inside(p Position) bool { return p.before(w.Before) && w.After.before(p) }

// mayHold reports whether a frame could have what is wanted.
func (w *wanted) mayHold(h *frameHead) bool {
	if h.Count == 0 || !h.Low.before(w.Before) || !w.After.before(h.High) || h.Newest < w.from || h.Oldest > w.upTo {
		return false
	}
	if w.kind != 0 && h.Kinds&w.kind == 0 {
		return false
	}
	for _, k := range w.keys {
		if !bloom(h.Bloom).may(k) {
			return false
		}
	}
	return true
}

func (w *wanted) matches(h *recordHead) bool {
	return w.inside(h.At) && h.Time >= w.from && h.Time <= w.upTo &&
		(w.kind == 0 || h.Kind == w.kind) &&
		(w.Namespace == "" || h.Namespace == w.Namespace) &&
		(w.JobID == "" || h.JobID == w.JobID) &&
		strings.HasPrefix(strings.ToLower(h.ID), w.Prefix)
}

// next returns the newest record that wasn't given out yet, nil if there is none
// or enough was looked at.
func (s *search) next() (*record, error) {
	for {
		for len(s.frames) > 0 {
			top := s.frames[len(s.frames)-1]
			if n := len(s.ready); n > 0 && top.head.High.before(s.ready[n-1].head.At) {
				break
			}
			if s.opened >= maxFrames {
				s.page.Next = following(top.head.High)
				return nil, nil
			}
			s.frames = s.frames[:len(s.frames)-1]
			if err := s.open(top); err != nil {
				return nil, err
			}
		}
		n := len(s.ready)
		if n == 0 {
			s.page.Next = Position{}
			return nil, nil
		}
		r := s.ready[n-1]
		s.ready = s.ready[:n-1]
		if r.head.At != s.given { // the same may stand on disk and still in the queue
			s.given = r.head.At
			return r, nil
		}
	}
}

// following returns the position just behind p.
func following(p Position) Position {
	if p.Seq == 1<<32-1 {
		return Position{Index: p.Index + 1}
	}
	return Position{p.Index, p.Seq + 1}
}

// last sees whether anything is left behind a page that is full.
func (s *search) last() error {
	at := s.page.Next
	r, err := s.next()
	if r != nil || !s.page.Next.zero() {
		s.page.Next = at
	}
	return err
}

// open reads the records of a frame that are wanted.
func (s *search) open(fr *frame) error {
	s.opened++
	f, err := os.Open(fr.seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was too old just now
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	records, err := fr.records(f, s.h.dec)
	if err != nil {
		s.h.spoiled(fr, err)
		s.page.Gaps = append(s.page.Gaps, Range{fr.head.Low.prev(), fr.head.High})
		return nil
	}
	for _, r := range records {
		if s.want.matches(&r.head) {
			s.ready = append(s.ready, r)
		}
	}
	slices.SortStableFunc(s.ready, func(a, b *record) int { return a.head.At.compare(b.head.At) })
	return nil
}

// spoiled takes a frame whose content can't be read out of the history: what it
// held is a gap from now on.
func (h *History) spoiled(fr *frame, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := slices.Index(fr.seg.frames, fr)
	if at < 0 {
		return // another query was first
	}
	fr.seg.frames = slices.Delete(slices.Clone(fr.seg.frames), at, at+1)
	h.gaps = h.gaps.with(Range{fr.head.Low.prev(), fr.head.High})
	h.counts.Records -= uint64(fr.head.Count)
	h.counts.Damaged++
	h.log.Error("a part of the history is damaged; it is skipped", logx.KeyPath, fr.seg.path, logx.KeyFrom, fr.offset,
		logx.KeyUpTo, fr.offset+fr.size.whole(), logx.KeyError, err)
}
