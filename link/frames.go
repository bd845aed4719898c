package link

import (
	"encoding/binary"
	"net"
)

// Yamux writes the head of a frame and what it carries one after the other.
// Over TLS each would be a record and a system call of its own, on both ends:
// twice the work for what are mostly small messages.

// frames is a connection that writes each frame whole. One goroutine writes, as
// yamux does.
type frames struct {
	net.Conn
	head []byte // of a frame whose content has not been written yet
}

const (
	frameHead = 12 // bytes
	// Of a frame that carries content, these bytes of its head say so, and how
	// much.
	frameType   = 1
	frameLength = 8
	typeContent = 0
)

// Write implements net.Conn.
func (f *frames) Write(p []byte) (int, error) {
	if len(f.head) > 0 {
		whole := append(f.head, p...)
		f.head = f.head[:0]
		if _, err := f.Conn.Write(whole); err != nil {
			return 0, err // the connection is given up; nobody counts any more
		}
		if cap(whole) <= keptFrame {
			f.head = whole[:0]
		}
		return len(p), nil
	}
	if len(p) == frameHead && p[frameType] == typeContent && binary.BigEndian.Uint32(p[frameLength:]) > 0 {
		f.head = append(f.head, p...)
		return len(p), nil
	}
	return f.Conn.Write(p)
}

// keptFrame is the largest buffer that is kept for the next frame: most are far
// smaller, and there are ten thousand connections.
const keptFrame = 4 << 10
