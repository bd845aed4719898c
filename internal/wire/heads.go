package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// head is the first byte of a msgpack value that has a length, for each width
// that the length may have; 0 where there is none.
type head struct {
	fixed, most    byte // for lengths up to most, in the byte itself
	one, two, four byte
}

var (
	strHead   = head{fixed: 0xa0, most: 31, one: 0xd9, two: 0xda, four: 0xdb}
	binHead   = head{one: 0xc4, two: 0xc5, four: 0xc6}
	arrayHead = head{fixed: 0x90, most: 15, two: 0xdc, four: 0xdd}
	mapHead   = head{fixed: 0x80, most: 15, two: 0xde, four: 0xdf}
)

func appendHead(out []byte, n int, h head) []byte {
	switch {
	case h.fixed != 0 && n <= int(h.most):
		return append(out, h.fixed|byte(n))
	case h.one != 0 && n <= math.MaxUint8:
		return append(out, h.one, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, h.two), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(out, h.four), uint32(n))
}

func appendUint(out []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(out, byte(n))
	case n <= math.MaxUint8:
		return append(out, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xcf), n)
}

func appendInt(out []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(out, uint64(n))
	case n >= -32:
		return append(out, byte(n))
	case n >= math.MinInt8:
		return append(out, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(out, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(out, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(out, 0xd3), uint64(n))
}

// appendTime writes a time as msgpack's timestamp extension, 12 bytes long.
func appendTime(out []byte, t time.Time) []byte {
	out = append(out, 0xc7, 12, 0xff)
	out = binary.BigEndian.AppendUint32(out, uint32(t.Nanosecond()))
	return binary.BigEndian.AppendUint64(out, uint64(t.Unix()))
}
