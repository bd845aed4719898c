package tables

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/steppe-run/steppe/internal/wire"
)

// A section is its kind (a byte), records (their length plus one as a varint,
// then their bytes), a zero, and the CRC-32C of all that.

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

type sectionWriter struct {
	w   io.Writer
	crc uint32
	err error
}

func (s *sectionWriter) raw(data []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(data)
	}
}

func (s *sectionWriter) write(data []byte) {
	s.crc = crc32.Update(s.crc, castagnoli(), data)
	s.raw(data)
}

func (s *sectionWriter) begin(kind byte) {
	s.crc = 0
	s.write([]byte{kind})
}

func (s *sectionWriter) record(v any) {
	data, err := wire.Marshal(v)
	if err != nil && s.err == nil {
		s.err = err
	}
	s.write(binary.AppendUvarint(nil, uint64(len(data))+1))
	s.write(data)
}

func (s *sectionWriter) end() {
	s.write([]byte{0})
	s.raw(binary.BigEndian.AppendUint32(nil, s.crc))
}

// sectionReader reads sections. Whatever it is given, it returns an error or
// what was written, and takes no more memory than it was given bytes.
type sectionReader struct {
	r   *bufio.Reader
	crc uint32
}

// Read and ReadByte read while summing up.
func (s *sectionReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.crc = crc32.Update(s.crc, castagnoli(), p[:n])
	return n, err
}

func (s *sectionReader) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.crc = crc32.Update(s.crc, castagnoli(), []byte{b})
	}
	return b, err
}

// magic reads the line at the beginning.
func (s *sectionReader) magic() error {
	got := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(s.r, got); err != nil {
		return err
	}
	if string(got) != snapshotMagic {
		return fmt.Errorf("it begins with %q instead of %q", got, snapshotMagic)
	}
	return nil
}

// next begins a section and returns its kind.
func (s *sectionReader) next() (kind byte, err error) {
	s.crc = 0
	return s.ReadByte()
}

var errChecksum = errors.New("checksum mismatch")

// record returns the next record of the section, nil after the last one.
func (s *sectionReader) record() ([]byte, error) {
	length, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, err
	}
	if length == 0 {
		return nil, s.verify()
	}
	var data bytes.Buffer // grows with what is there, not with what is said
	n, err := io.CopyN(&data, s, int64(min(length-1, 1<<62)))
	if err != nil {
		return nil, fmt.Errorf("record of %d bytes ends after %d: %w", length-1, n, err)
	}
	if data.Len() == 0 {
		return []byte{}, nil
	}
	return data.Bytes(), nil
}

func (s *sectionReader) verify() error {
	want := s.crc
	var sum [4]byte
	if _, err := io.ReadFull(s.r, sum[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum[:]) != want {
		return errChecksum
	}
	return nil
}
