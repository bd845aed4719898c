package history

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/structs"
)

// Page answers a query as callers of the API see it.
func (h *History) Page(ctx context.Context, server string, q Query) (*structs.HistoryPage, error) {
	p, err := h.Find(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	out := &structs.HistoryPage{
		Entries: p.Entries, Server: server, UpToIndex: p.UpTo.Index, Gaps: []structs.HistoryGap{},
		MaxAgeSeconds: int64(h.cfg.MaxAge.Seconds()), MaxBytes: h.cfg.MaxBytes,
	}
	h.mu.Lock()
	out.Bytes = h.bytes
	h.mu.Unlock()
	if out.Entries == nil {
		out.Entries = []*structs.HistoryEntry{}
	}
	if !p.Next.zero() {
		out.NextToken = p.Next.String()
	}
	for _, g := range p.Gaps {
		out.Gaps = append(out.Gaps, structs.HistoryGap{
			AfterIndex: g.After.Index, AfterSeq: g.After.Seq, UpToIndex: g.UpTo.Index, UpToSeq: g.UpTo.Seq,
		})
	}
	return out, nil
}

// Adopt compares the history with the log that it belongs to, of which the last
// index is given: a history that goes further was written from another log, which
// is gone. It is set aside then, and a new one begins. applied tells how far the
// state is.
func (h *History) Adopt(last uint64, applied func() uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mark.Index <= last {
		return nil
	}
	h.log.Warn("the history goes further than the log: it was written from another log; it is set aside",
		logx.KeyPath, h.cfg.Dir, logx.KeyIndex, h.mark.Index, logx.KeyUpTo, last)
	var err error
	if h.file != nil {
		err = h.file.Close()
		h.file = nil
	}
	for _, s := range h.segments {
		err = errors.Join(err, os.Rename(s.path, s.path+".other"))
	}
	if err = errors.Join(err, syncDir(h.cfg.Dir)); err != nil {
		return fmt.Errorf("set history aside: %w", err)
	}
	h.segments, h.gaps, h.jumps, h.queue, h.bytes = nil, nil, nil, nil, 0
	h.counts.Records = 0
	h.mark, h.seen = Position{}, Position{}
	if now := applied(); now > 0 {
		h.jump(Range{UpTo: after(now)})
		h.seen = after(now)
	}
	return nil
}
