package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is an FSM that remembers every entry in order.
type ledger struct {
	mu      sync.Mutex
	entries [][]byte
	indexes []uint64
}

func (l *ledger) Apply(entries []Entry) (results []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		l.entries = append(l.entries, bytes.Clone(e.Data))
		l.indexes = append(l.indexes, e.Index)
		results = append(results, len(l.entries))
	}
	return results
}

func (l *ledger) Snapshot() (Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return page(slices.Clone(l.entries)), nil
}

func (l *ledger) Restore(r io.Reader) error {
	var out [][]byte
	for {
		var n uint32
		if err := binary.Read(r, binary.BigEndian, &n); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		out = append(out, b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = out
	return nil
}

func (l *ledger) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.entries {
		out = append(out, string(e))
	}
	return out
}

type page [][]byte

func (p page) Persist(w io.Writer) error {
	for _, e := range p {
		if err := binary.Write(w, binary.BigEndian, uint32(len(e))); err != nil {
			return err
		}
		if _, err := w.Write(e); err != nil {
			return err
		}
	}
	return nil
}

// box is one server of a test: a replica with its port.
type box struct {
	id, dir, addr string
	fsm           *ledger
	rep           *Replica
	group         *loop.Group
}

// start opens a replica on loopback; addr may be empty for a free port.
func start(t *testing.T, id, dir, addr string, ca string, change func(*Config)) *box {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	tls, err := certs.DevCA(ca, "global", certs.RoleServer)
	if err != nil {
		t.Fatal(err)
	}
	mux, err := link.Listen(addr, tls, logx.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b := &box{id: id, dir: dir, addr: mux.Addr().String(), fsm: &ledger{}}
	cfg := Config{
		ID: id, Addr: b.addr, DataDir: dir, Listener: mux.Listener(link.ALPNRaft), FSM: b.fsm, SegmentSize: 1 << 16,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return link.Dial(ctx, addr, tls, link.ALPNRaft)
		},
	}
	if change != nil {
		change(&cfg)
	}
	b.rep, err = Open(cfg)
	if err != nil {
		_ = mux.Close()
		t.Fatal(err)
	}
	b.group = loop.New(context.Background())
	b.group.Go("replica", b.rep.Run)
	b.group.Go("mux", mux.Run)
	t.Cleanup(func() { b.stop(t) })
	return b
}

func (b *box) stop(t testing.TB) {
	t.Helper()
	if b.group == nil {
		return
	}
	b.group.Stop()
	if err := b.group.Wait(); err != nil {
		t.Errorf("server %s: %v", b.id, err)
	}
}

// crash ends the replica without its farewell.
func (b *box) crash(t testing.TB) {
	t.Helper()
	if err := b.rep.Close(); err != nil {
		t.Errorf("crash %s: %v", b.id, err)
	}
	b.stop(t)
}

func startThree(t *testing.T, ca string) []*box {
	t.Helper()
	var boxes []*box
	var servers []Server
	for i := range 3 {
		b := start(t, fmt.Sprintf("s%d", i), t.TempDir(), "", ca, nil)
		boxes = append(boxes, b)
		servers = append(servers, Server{ID: b.id, Addr: b.addr, Voter: true})
	}
	if err := boxes[0].rep.Bootstrap(servers); err != nil {
		t.Fatal(err)
	}
	return boxes
}

func leaderOf(t *testing.T, boxes []*box) *box {
	t.Helper()
	var lead *box
	testx.Eventually(t, 20*time.Second, "a leader that can write", func() bool {
		for _, b := range boxes {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if b.rep.IsLeader() && b.rep.Barrier(ctx) == nil {
				lead = b
			}
			cancel()
		}
		return lead != nil
	})
	return lead
}

func write(t *testing.T, b *box, from, to int) []string {
	t.Helper()
	var want []string
	for i := from; i < to; i++ {
		text := fmt.Sprintf("entry %d", i)
		if _, _, err := b.rep.Propose(t.Context(), []byte(text)); err != nil {
			t.Fatalf("propose %q: %v", text, err)
		}
		want = append(want, text)
	}
	return want
}

func sameEverywhere(t *testing.T, boxes []*box, want []string) {
	t.Helper()
	for _, b := range boxes {
		testx.Eventually(t, 10*time.Second, "all entries on "+b.id, func() bool { return slices.Equal(b.fsm.all(), want) })
	}
}
