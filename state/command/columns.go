package command

import (
	"encoding/binary"
	"errors"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/wire"
)

// encoder writes numbers as varints and each string once: where it occurs
// again its place in the list of strings so far is written.
type encoder struct {
	out     []byte
	strings map[string]uint64
	blobs   map[any]uint64
	err     error
}

// What the number before a string, or before an object that may be shared,
// says; higher numbers are the place of one that was written before.
const (
	newText = 0 // its length and bytes follow
	newUUID = 1 // its 16 bytes follow
	oldText = 2

	noBlob  = 0
	newBlob = 1 // its length and bytes follow
	oldBlob = 2
)

func newEncoder(head []byte) *encoder {
	return &encoder{out: head, strings: map[string]uint64{"": 0}, blobs: map[any]uint64{}}
}

func (e *encoder) uint(n uint64) { e.out = binary.AppendUvarint(e.out, n) }
func (e *encoder) int(n int64)   { e.out = binary.AppendVarint(e.out, n) }
func (e *encoder) count(n int)   { e.uint(uint64(n)) }

func (e *encoder) text(s string) {
	if at, ok := e.strings[s]; ok {
		e.uint(at + oldText)
		return
	}
	e.strings[s] = uint64(len(e.strings))
	if id, ok := ids.Parse(s); ok && ids.Format(id) == s {
		e.uint(newUUID)
		e.out = append(e.out, id[:]...)
		return
	}
	e.uint(newText)
	e.count(len(s))
	e.out = append(e.out, s...)
}

// object writes a value that may be nil, as msgpack.
func object[T any](e *encoder, v *T) {
	if v == nil {
		e.uint(noBlob)
		return
	}
	e.uint(newBlob)
	e.blob(v)
}

// shared writes a value that may be nil or occur several times in the entry.
func shared[T any](e *encoder, v *T) {
	if at, ok := e.blobs[v]; ok && v != nil {
		e.uint(at + oldBlob)
		return
	}
	if v != nil {
		e.blobs[v] = uint64(len(e.blobs))
	}
	object(e, v)
}

func (e *encoder) blob(v any) {
	data, err := wire.Marshal(v)
	e.err = errors.Join(e.err, err)
	e.count(len(data))
	e.out = append(e.out, data...)
}

var errShort = errors.New("it ends too early or says impossible numbers")

// decoder reads what encoder wrote. After a fault it reads zeros, and err says
// what the fault was.
type decoder struct {
	in      []byte
	strings []string
	blobs   []any
	err     error
}

func newDecoder(in []byte) *decoder { return &decoder{in: in, strings: []string{""}} }

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.in = nil
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.in)
	if size <= 0 {
		d.fail(errShort)
		return 0
	}
	d.in = d.in[size:]
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.in)
	if size <= 0 {
		d.fail(errShort)
		return 0
	}
	d.in = d.in[size:]
	return n
}

// uint32 reads a number that must fit.
func (d *decoder) uint32() uint32 {
	n := d.uint()
	if n > 1<<32-1 {
		d.fail(errShort)
		return 0
	}
	return uint32(n)
}

// count reads how many elements follow, each of which takes at least size
// bytes: more than the bytes that are left is a fault.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.in)/size) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

func (d *decoder) take(n int) []byte {
	if n > len(d.in) {
		d.fail(errShort)
		return make([]byte, 16)[:min(n, 16)]
	}
	taken := d.in[:n]
	d.in = d.in[n:]
	return taken
}

func (d *decoder) text() string {
	var s string
	switch n := d.uint(); n {
	case newText:
		s = string(d.take(d.count(1)))
	case newUUID:
		s = ids.Format([16]byte(d.take(16)))
	default:
		if n-oldText >= uint64(len(d.strings)) {
			d.fail(errShort)
			return ""
		}
		return d.strings[n-oldText]
	}
	if d.err != nil {
		return ""
	}
	d.strings = append(d.strings, s)
	return s
}

// readObject reads what object wrote.
func readObject[T any](d *decoder) *T {
	switch d.uint() {
	case noBlob:
	case newBlob:
		return readBlob[T](d)
	default:
		d.fail(errShort)
	}
	return nil
}

// readShared reads what shared wrote.
func readShared[T any](d *decoder) *T {
	switch n := d.uint(); n {
	case noBlob:
		return nil
	case newBlob:
		v := readBlob[T](d)
		if v != nil {
			d.blobs = append(d.blobs, v)
		}
		return v
	default:
		if n-oldBlob < uint64(len(d.blobs)) {
			if v, ok := d.blobs[n-oldBlob].(*T); ok {
				return v
			}
		}
		d.fail(errShort)
		return nil
	}
}

func readBlob[T any](d *decoder) *T { return readMsgpack[T](d, d.count(1)) }

func readMsgpack[T any](d *decoder, size int) *T {
	data := d.take(size)
	if d.err != nil {
		return nil
	}
	v := new(T)
	if err := wire.Unmarshal(data, v); err != nil {
		d.fail(err)
		return nil
	}
	return v
}
