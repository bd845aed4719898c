package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	segmentMagic  = "steppe-history 1\n"
	segmentSuffix = ".seg"
)

// segment is a file of frames. Only the newest one grows.
type segment struct {
	number uint64
	path   string
	size   int64
	newest int64 // time of the newest record
	frames []*frame
}

// frame is where a frame is found, and what its head says.
type frame struct {
	seg    *segment
	offset int64
	size   frameSize
	head   *frameHead
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016d%s", number, segmentSuffix))
}

// segmentsIn lists the numbers of the segments of a folder, in order.
func segmentsIn(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list history: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), segmentSuffix)
		if n, err := strconv.ParseUint(name, 10, 64); ours && err == nil && !e.IsDir() {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// damage is a part of a segment that can't be read.
type damage struct{ from, to int64 }

// openSegment reads the heads of a segment's frames. With contents set it
// verifies the contents too. Parts that can't be read are skipped and returned;
// end is where the last good frame ends: what follows was never finished, or is
// damaged with nothing good behind it.
func openSegment(path string, number uint64, contents bool) (s *segment, skipped []damage, end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("open history: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, 0, fmt.Errorf("open history: %w", err)
	}
	s = &segment{number: number, path: path, size: info.Size()}
	dec, err := newUnpacker()
	if err != nil {
		return nil, nil, 0, err
	}
	defer dec.Close()
	w := walker{f: f, size: info.Size(), seg: s, contents: contents, dec: dec}
	if err := w.walk(); err != nil {
		return nil, nil, 0, fmt.Errorf("read history: %w", err)
	}
	return s, w.skipped, w.end, nil
}

// walker goes through the frames of a segment.
type walker struct {
	f        io.ReaderAt
	size     int64
	seg      *segment
	contents bool
	dec      *zstd.Decoder
	skipped  []damage
	end      int64
}

func (w *walker) walk() error {
	magic := make([]byte, len(segmentMagic))
	at := int64(len(segmentMagic))
	if _, err := w.f.ReadAt(magic, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(magic) != segmentMagic {
		at = 0 // frames are found by their own magic word, if there are any
	} else {
		w.end = at
	}
	for at < w.size {
		fr, err := w.frameAt(at)
		if errors.Is(err, errTorn) || errors.Is(err, errDamaged) {
			next, err := w.search(at + 1)
			if err != nil {
				return err
			}
			if next < 0 {
				return nil
			}
			w.skipped = append(w.skipped, damage{at, next})
			at = next
			continue
		}
		if err != nil {
			return err
		}
		w.seg.add(fr)
		at += fr.size.whole()
		w.end = at
	}
	return nil
}

func (s *segment) add(f *frame) {
	s.frames = append(s.frames, f)
	s.newest = max(s.newest, f.head.Newest)
}

// frameAt reads the frame at a place, its content only to verify it.
func (w *walker) frameAt(at int64) (*frame, error) {
	fixed, err := readFull(w.f, at, frameFixed)
	if err != nil {
		return nil, err
	}
	size, err := sizeOf(fixed)
	if err != nil {
		return nil, err
	}
	if at+size.whole() > w.size {
		return nil, errTorn
	}
	raw, err := readFull(w.f, at+int64(frameFixed), size.head)
	if err != nil {
		return nil, err
	}
	head, err := headOf(fixed, raw)
	if err != nil {
		return nil, err
	}
	fr := &frame{seg: w.seg, offset: at, size: size, head: head}
	if w.contents {
		if _, err := fr.records(w.f, w.dec); err != nil {
			return nil, errors.Join(errDamaged, err)
		}
	}
	return fr, nil
}

// search returns where the next good frame begins, -1 if there is none.
func (w *walker) search(from int64) (int64, error) {
	const step = 1 << 20
	for at := from; at < w.size; at += step {
		chunk, err := readFull(w.f, at, int(min(step+int64(len(frameMagic))-1, w.size-at)))
		if err != nil {
			return 0, err
		}
		for i := 0; ; i++ {
			n := bytes.Index(chunk[i:], []byte(frameMagic))
			if n < 0 {
				break
			}
			i += n
			if _, err := w.frameAt(at + int64(i)); err == nil {
				return at + int64(i), nil
			} else if !errors.Is(err, errTorn) && !errors.Is(err, errDamaged) {
				return 0, err
			}
		}
	}
	return -1, nil
}

// records reads the frame's records from its file.
func (fr *frame) records(f io.ReaderAt, dec *zstd.Decoder) ([]*record, error) {
	packed, err := readFull(f, fr.offset+int64(frameFixed+fr.size.head), fr.size.content)
	if err != nil {
		return nil, err
	}
	return contentOf(dec, fr.head, packed)
}

// readFull reads so many bytes at a place; errTorn if there aren't as many.
func readFull(f io.ReaderAt, at int64, n int) ([]byte, error) {
	out := make([]byte, n)
	got, err := f.ReadAt(out, at)
	if got == n {
		return out, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, errTorn
	}
	return nil, err
}
