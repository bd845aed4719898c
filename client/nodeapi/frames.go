package nodeapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/steppe-run/steppe/structs"
)

const (
	// frameSize is the most data in one frame.
	frameSize = 64 << 10
	// pollEvery is how often a followed file is looked at; it also gathers
	// small writes into one frame.
	pollEvery = 100 * time.Millisecond
	// beatEvery is how long a stream may be silent.
	beatEvery = time.Second
)

// The events of a stream.
const (
	eventDeleted   = "file deleted"
	eventTruncated = "file truncated"
)

// opener opens a file of an allocation, safely.
type opener interface {
	OpenFile(name string) (*os.File, error)
}

// sink takes frames; a frame without anything says that the stream lives.
type sink interface {
	send(structs.StreamFrame) error
}

// source yields what is to be streamed. next returns io.EOF when there is
// nothing at the moment, and errGone when there won't be anything any more.
type source interface {
	next() (structs.StreamFrame, error)
	close()
}

var errGone = errors.New("the file is gone")

// pump sends what the source has. At its end it goes on looking as long as
// follow says so.
func (a *api) pump(ctx context.Context, from source, to sink, follow func() bool) error {
	last := a.Clock.Now()
	ending := false
	for {
		frame, err := from.next()
		if err == nil {
			ending = false
			last = a.Clock.Now()
			if err := to.send(frame); err != nil {
				return err
			}
			continue
		}
		switch {
		case errors.Is(err, errGone):
			return to.send(frame)
		case !errors.Is(err, io.EOF):
			return err
		}
		if ending {
			return nil
		}
		// One more look: something may have been written before the end.
		ending = !follow()
		if ending {
			continue
		}
		if a.Clock.Now().Sub(last) >= beatEvery {
			last = a.Clock.Now()
			if err := to.send(structs.StreamFrame{}); err != nil {
				return err
			}
		}
		if err := a.pause(ctx, pollEvery); err != nil {
			return nil // nobody listens any more
		}
	}
}

func (a *api) pause(ctx context.Context, d time.Duration) error {
	timer := a.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// frames writes JSON frames, one after the other.
type frames struct {
	encoder *json.Encoder
	flush   func() error
}

func newFrames(w http.ResponseWriter) *frames {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	return &frames{json.NewEncoder(w), http.NewResponseController(w).Flush}
}

func (f *frames) send(frame structs.StreamFrame) error {
	if err := f.encoder.Encode(frame); err != nil {
		return err
	}
	return f.flush()
}

// plain writes only the data.
type plain struct {
	w     io.Writer
	flush func() error
}

func newPlain(w http.ResponseWriter) *plain {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	return &plain{w, http.NewResponseController(w).Flush}
}

func (p *plain) send(frame structs.StreamFrame) error {
	if len(frame.Data) == 0 {
		return nil
	}
	if _, err := p.w.Write(frame.Data); err != nil {
		return err
	}
	return p.flush()
}

// fileSource reads one file that may grow, shrink or vanish.
type fileSource struct {
	dir    opener
	path   string
	f      *os.File
	offset int64
}

// open opens the file and goes to an offset from its start or end.
func (s *fileSource) open(offset int64, fromEnd bool) error {
	f, err := s.dir.OpenFile(s.path)
	if err != nil {
		return err
	}
	s.close()
	s.f = f
	s.offset = offset
	if fromEnd {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		s.offset = max(info.Size()-offset, 0)
	}
	return nil
}

func (s *fileSource) close() {
	if s.f != nil {
		_ = s.f.Close() // only read
		s.f = nil
	}
}

func (s *fileSource) next() (structs.StreamFrame, error) {
	frame, err := s.read()
	if !errors.Is(err, io.EOF) {
		return frame, err
	}
	info, err := s.f.Stat()
	if err != nil {
		return structs.StreamFrame{}, err
	}
	if info.Size() < s.offset {
		s.offset = 0
		return structs.StreamFrame{File: s.path, FileEvent: eventTruncated}, nil
	}
	return s.replaced(info)
}

// replaced looks whether the name still means the file that is open.
func (s *fileSource) replaced(open os.FileInfo) (structs.StreamFrame, error) {
	f, err := s.dir.OpenFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return structs.StreamFrame{File: s.path, FileEvent: eventDeleted}, errGone
	}
	if err != nil {
		return structs.StreamFrame{}, err
	}
	info, err := f.Stat()
	if err != nil || os.SameFile(open, info) {
		_ = f.Close() // only read
		return structs.StreamFrame{}, io.EOF
	}
	s.close()
	s.f, s.offset = f, 0
	return structs.StreamFrame{File: s.path, FileEvent: eventTruncated}, nil
}

// read returns the next piece of the open file.
func (s *fileSource) read() (structs.StreamFrame, error) {
	buffer := make([]byte, frameSize)
	n, err := s.f.ReadAt(buffer, s.offset)
	if n == 0 {
		return structs.StreamFrame{}, err
	}
	frame := structs.StreamFrame{Offset: s.offset, Data: buffer[:n], File: s.path}
	s.offset += int64(n)
	return frame, nil
}
