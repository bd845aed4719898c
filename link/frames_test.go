package link

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"github.com/hashicorp/yamux"

	"github.com/steppe-run/steppe/internal/loop"
)

// tapped counts the writes of a connection.
type tapped struct {
	net.Conn
	writes [][]byte
}

// Write implements net.Conn.
func (t *tapped) Write(p []byte) (int, error) {
	t.writes = append(t.writes, bytes.Clone(p))
	return t.Conn.Write(p)
}

// A stream brings over what was written to it, and no frame takes two writes.
func TestFramesAreWrittenWhole(t *testing.T) {
	near, far := net.Pipe()
	tap := &tapped{Conn: near}
	client, err := yamux.Client(&frames{Conn: tap}, peerConfig())
	if err != nil {
		t.Fatal(err)
	}
	server, err := yamux.Server(&frames{Conn: far}, peerConfig())
	if err != nil {
		t.Fatal(err)
	}
	var sent [][]byte
	for _, n := range []int{1, 12, 100, keptFrame, 300 << 10, 12} { // also some that look like a head, or fill the window
		sent = append(sent, bytes.Repeat([]byte{0}, n))
	}
	group := loop.New(context.Background())
	var got []byte
	group.Go("receive", func(context.Context) error {
		stream, err := server.Accept()
		if err != nil {
			return err
		}
		got, err = io.ReadAll(stream)
		return err
	})
	stream, err := client.Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sent {
		if _, err := stream.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := bytes.Join(sent, nil); !bytes.Equal(got, want) {
		t.Errorf("%d bytes came of %d", len(got), len(want))
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	contents := 0
	for _, w := range tap.writes {
		if w[frameType] != typeContent {
			continue
		}
		contents++
		if want := frameHead + int(w[8])<<24 + int(w[9])<<16 + int(w[10])<<8 + int(w[11]); len(w) != want {
			t.Errorf("a frame of %d bytes was written as %d", want, len(w))
		}
	}
	if contents < len(sent) {
		t.Errorf("%d frames for %d writes", contents, len(sent))
	}
}
