package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/steppe-run/steppe/internal/wire"
)

// A frame is a magic word, the lengths of its head and of its content, a
// checksum over those and the head, the head, and the content, compressed; the
// head has the content's checksum. What was written once must be readable for
// ever.
const (
	frameMagic = "SFRM"
	frameFixed = len(frameMagic) + 3*4

	maxHead    = 1 << 20
	maxContent = 64 << 20 // unpacked
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// frameHead says what a frame holds. Its names are on disk.
type frameHead struct {
	// Base and Mark say what the frame is about: whatever left the state behind
	// Base, up to and with Mark, is in it. Where a frame's Base isn't the Mark of
	// the one before it, there is a gap.
	Base Position `codec:"a"`
	Mark Position `codec:"m"`
	// Low and High are the first and last position of the records, Oldest and
	// Newest their times.
	Low    Position `codec:"l"`
	High   Position `codec:"h"`
	Oldest int64    `codec:"o"`
	Newest int64    `codec:"w"`
	Count  int      `codec:"c"`
	Kinds  uint8    `codec:"k"`
	Bloom  []byte   `codec:"b"`
	Sum    uint32   `codec:"s"`
	Size   int      `codec:"z"`
}

// packer makes frames; it is for one goroutine.
type packer struct{ enc *zstd.Encoder }

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	return &packer{enc: enc}, nil
}

// newUnpacker returns what unpacks frames; any number of goroutines may use it.
func newUnpacker() (*zstd.Decoder, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxContent))
	if err != nil {
		return nil, fmt.Errorf("prepare decompression: %w", err)
	}
	return dec, nil
}

// frame returns the bytes of a frame, and its head completed.
func (p *packer) frame(head frameHead, records []*record) ([]byte, *frameHead, error) {
	content, err := encodeRecords(records)
	if err != nil {
		return nil, nil, err
	}
	if len(content) > maxContent {
		return nil, nil, fmt.Errorf("write history: %d records take %d bytes", len(records), len(content))
	}
	var keys []string
	for i, r := range records {
		h := &r.head
		if i == 0 {
			head.Low, head.High, head.Oldest, head.Newest = h.At, h.At, h.Time, h.Time
		}
		head.Low, head.High = earlier(head.Low, h.At), later(head.High, h.At)
		head.Oldest, head.Newest = min(head.Oldest, h.Time), max(head.Newest, h.Time)
		head.Kinds |= h.Kind
		keys = append(keys, keysOf(h)...)
	}
	head.Count, head.Size = len(records), len(content)
	var packed []byte
	if len(records) > 0 {
		head.Bloom = newBloom(keys)
		packed = p.enc.EncodeAll(content, nil)
	}
	head.Sum = crc32.Checksum(packed, castagnoli())
	raw, err := wire.Marshal(&head)
	if err != nil {
		return nil, nil, fmt.Errorf("write history: %w", err)
	}
	out := append(make([]byte, 0, frameFixed+len(raw)+len(packed)), frameMagic...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(raw)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(packed)))
	sum := crc32.Update(crc32.Checksum(out[len(frameMagic):], castagnoli()), castagnoli(), raw)
	out = binary.BigEndian.AppendUint32(out, sum)
	out = append(out, raw...)
	return append(out, packed...), &head, nil
}

// What can be wrong with a frame.
var (
	errTorn    = errors.New("the file ends in the middle of a frame")
	errDamaged = errors.New("a frame is damaged")
)

// frameSize is where the parts of a frame are, counted from its beginning.
type frameSize struct{ head, content int }

func (s frameSize) whole() int64 { return int64(frameFixed + s.head + s.content) }

// sizeOf reads the fixed part of a frame.
func sizeOf(fixed []byte) (frameSize, error) {
	if len(fixed) < frameFixed {
		return frameSize{}, errTorn
	}
	if string(fixed[:len(frameMagic)]) != frameMagic {
		return frameSize{}, errDamaged
	}
	s := frameSize{int(binary.BigEndian.Uint32(fixed[4:])), int(binary.BigEndian.Uint32(fixed[8:]))}
	if s.head > maxHead || s.content > maxContent+maxContent/8 {
		return frameSize{}, errDamaged
	}
	return s, nil
}

// headOf reads and verifies the head of a frame: fixed part, then head.
func headOf(fixed, raw []byte) (*frameHead, error) {
	sum := crc32.Update(crc32.Checksum(fixed[4:12], castagnoli()), castagnoli(), raw)
	if sum != binary.BigEndian.Uint32(fixed[12:]) {
		return nil, errDamaged
	}
	head := &frameHead{}
	if err := wire.Unmarshal(raw, head); err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	return head, nil
}

// contentOf verifies and reads the records of a frame.
func contentOf(dec *zstd.Decoder, head *frameHead, packed []byte) ([]*record, error) {
	if crc32.Checksum(packed, castagnoli()) != head.Sum {
		return nil, errDamaged
	}
	if head.Count == 0 {
		return nil, nil
	}
	content, err := dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	return decodeRecords(content)
}
