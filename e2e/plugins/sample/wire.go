//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// raw is a message as bytes.
type raw []byte

// rawCodec leaves messages as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(raw)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return m, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	m, ok := v.(*raw)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	*m = append(raw(nil), data...)
	return nil
}

// message is one that is being written.
type message struct{ bytes []byte }

func (m *message) number(n protowire.Number, v uint64) *message {
	m.bytes = protowire.AppendVarint(protowire.AppendTag(m.bytes, n, protowire.VarintType), v)
	return m
}

func (m *message) data(n protowire.Number, v []byte) *message {
	m.bytes = protowire.AppendBytes(protowire.AppendTag(m.bytes, n, protowire.BytesType), v)
	return m
}

func (m *message) text(n protowire.Number, v string) *message { return m.data(n, []byte(v)) }

func (m *message) in(n protowire.Number, inner *message) *message { return m.data(n, inner.bytes) }

// fields are those of a message that came: the last of each.
type fields struct {
	numbers map[protowire.Number]uint64
	data    map[protowire.Number][]byte
}

func parse(b []byte) fields {
	f := fields{map[protowire.Number]uint64{}, map[protowire.Number][]byte{}}
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return f
		}
		b = b[size:]
		switch kind {
		case protowire.VarintType:
			v, used := protowire.ConsumeVarint(b)
			if used < 0 {
				return f
			}
			f.numbers[n], size = v, used
		case protowire.BytesType:
			v, used := protowire.ConsumeBytes(b)
			if used < 0 {
				return f
			}
			f.data[n], size = v, used
		default:
			if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
				return f
			}
		}
		b = b[size:]
	}
	return f
}

func (f fields) text(n protowire.Number) string { return string(f.data[n]) }
func (f fields) in(n protowire.Number) fields   { return parse(f.data[n]) }

// stringsOf reads a map of strings: repeated entries of key 1 and value 2.
func stringsOf(b []byte, n protowire.Number) map[string]string {
	out := map[string]string{}
	for len(b) > 0 {
		got, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return out
		}
		b = b[size:]
		if got == n && kind == protowire.BytesType {
			v, used := protowire.ConsumeBytes(b)
			if used < 0 {
				return out
			}
			entry := parse(v)
			out[entry.text(1)] = entry.text(2)
			b = b[used:]
			continue
		}
		if size = protowire.ConsumeFieldValue(got, kind, b); size < 0 {
			return out
		}
		b = b[size:]
	}
	return out
}

var errMsgpack = errors.New("the config is no map of strings")

// config reads a msgpack map whose values are strings or nil.
func config(b []byte) (map[string]string, error) {
	out := map[string]string{}
	if len(b) == 0 || b[0]&0xf0 != 0x80 {
		return nil, errMsgpack
	}
	n := int(b[0] & 0x0f)
	b = b[1:]
	var key, value string
	var err error
	for range n {
		if key, b, err = packed(b); err != nil {
			return nil, err
		}
		if value, b, err = packed(b); err != nil {
			return nil, err
		}
		out[key] = value
	}
	return out, nil
}

func packed(b []byte) (string, []byte, error) {
	if len(b) == 0 {
		return "", nil, errMsgpack
	}
	size, head := 0, 1
	switch kind := b[0]; {
	case kind == 0xc0: // nil
		return "", b[1:], nil
	case kind&0xe0 == 0xa0:
		size = int(kind & 0x1f)
	case kind == 0xd9 && len(b) > 1:
		size, head = int(b[1]), 2
	case kind == 0xda && len(b) > 2:
		size, head = int(binary.BigEndian.Uint16(b[1:])), 3
	default:
		return "", nil, errMsgpack
	}
	if len(b) < head+size {
		return "", nil, errMsgpack
	}
	return string(b[head : head+size]), b[head+size:], nil
}
