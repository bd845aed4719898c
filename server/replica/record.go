package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/hashicorp/raft"
)

// Every entry is stored behind a header of our own:
//
//	 0  magic           8 bytes
//	 8  index           8
//	16  durable         8  the last index that was on disk when this was written
//	24  header checksum 4  over the bytes before
//	28  record checksum 4  over index, durable, term, type, extensions, data
//
// The library checks only the last batch of the newest file, and takes a
// broken one for a write that a crash interrupted. The checksum finds every
// other damage. "durable" tells a torn batch from a damaged one: a record
// found behind the end of the log that says "durable: more than the log now
// holds" proves that stored entries are missing.
const (
	recordMagic  = "\xf5SteppeL"
	recordHeader = 32
)

var errRecord = errors.New("the record fails its checksum")

// sealRecord returns a copy of l whose data carries the header.
func sealRecord(l *raft.Log, durable uint64) *raft.Log {
	data := make([]byte, recordHeader, recordHeader+len(l.Data))
	copy(data, recordMagic)
	binary.LittleEndian.PutUint64(data[8:], l.Index)
	binary.LittleEndian.PutUint64(data[16:], durable)
	binary.LittleEndian.PutUint32(data[24:], crc32.Checksum(data[:24], castagnoli()))
	binary.LittleEndian.PutUint32(data[28:], recordSum(data[:28], l, l.Data))
	sealed := *l
	sealed.Data = append(data, l.Data...)
	return &sealed
}

// openRecord verifies l, which was read as index, and takes the header off.
func openRecord(index uint64, l *raft.Log) error {
	if len(l.Data) < recordHeader || l.Index != index {
		return errRecord
	}
	head, data := l.Data[:recordHeader], l.Data[recordHeader:]
	at, _, ok := parseHeader(head)
	if !ok || at != index || binary.LittleEndian.Uint32(head[28:]) != recordSum(head[:28], l, data) {
		return errRecord
	}
	l.Data = data
	return nil
}

func recordSum(head []byte, l *raft.Log, data []byte) uint32 {
	var fixed [17]byte
	binary.LittleEndian.PutUint64(fixed[:], l.Term)
	fixed[8] = byte(l.Type)
	binary.LittleEndian.PutUint64(fixed[9:], uint64(len(l.Extensions)))
	sum := crc32.Update(crc32.Checksum(head, castagnoli()), castagnoli(), fixed[:])
	sum = crc32.Update(sum, castagnoli(), l.Extensions)
	return crc32.Update(sum, castagnoli(), data)
}

// parseHeader reads a header; ok is false if it is none.
func parseHeader(b []byte) (index, durable uint64, ok bool) {
	if len(b) < recordHeader || string(b[:8]) != recordMagic {
		return 0, 0, false
	}
	if binary.LittleEndian.Uint32(b[24:]) != crc32.Checksum(b[:24], castagnoli()) {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]), true
}

// highestDurable searches a file of the log for record headers, whatever else
// is in it, and returns the highest index that one of them calls durable.
func highestDurable(path string) (uint64, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // a crash came between naming the file and making it
	}
	if err != nil {
		return 0, fmt.Errorf("read the log: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	highest := uint64(0)
	buf := make([]byte, 1<<20)
	kept := 0 // bytes of the last round that may hold the start of a header
	for {
		n, err := io.ReadFull(f, buf[kept:])
		chunk := buf[:kept+n]
		highest = max(highest, durableIn(chunk))
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return highest, nil
		}
		if err != nil {
			return 0, fmt.Errorf("read the log: %w", err)
		}
		kept = copy(buf, chunk[len(chunk)-recordHeader+1:])
	}
}

func durableIn(chunk []byte) uint64 {
	highest := uint64(0)
	for {
		at := bytes.Index(chunk, []byte(recordMagic))
		if at < 0 {
			return highest
		}
		if _, durable, ok := parseHeader(chunk[at:]); ok {
			highest = max(highest, durable)
		}
		chunk = chunk[at+1:]
	}
}
