package session

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/loop"
)

// wire passes bytes between a node and a server until it is cut: then both
// ends believe that they are still connected, and nothing arrives.
type wire struct {
	net.Listener
	cut   chan struct{}
	mu    sync.Mutex
	conns []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, cut: make(chan struct{})}
	group := loop.New(context.Background())
	group.Go("wire", func(context.Context) error {
		for {
			near, err := l.Accept()
			if err != nil {
				return nil
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				return err
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			for from, into := range map[net.Conn]net.Conn{near: far, far: near} {
				group.Go("half of a wire", func(context.Context) error {
					w.pass(from, into)
					return nil
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *wire) pass(from, into net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-w.cut: // swallowed
		default:
			if _, err := into.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// A node whose connection broke without a word and that is back, at the same
// server or at another, is found at once: nobody waits for the keep-alive.
func TestANodeThatCameBackIsFoundAtOnce(t *testing.T) {
	for name, back := range map[string]int{"at the same server": 0, "at another server": 1} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t, 3)
			node := newNode()
			w := newWire(t, r.servers[0].addr)
			r.joinAt(node, w.Addr().String())
			r.ask(t, 2, node.ID)
			old := r.servers[0].srv.held.of(node.ID)
			if old == nil {
				t.Fatal("the node isn't connected where it should be")
			}
			close(w.cut)
			r.join(node, back)
			for n := range r.servers {
				began := time.Now()
				r.ask(t, n, node.ID)
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("server %d found the node after %s", n, took)
				}
			}
			select {
			case <-old.Done():
			case <-time.After(time.Second):
				t.Error("the old connection is still up")
			}
		})
	}
}

// ask sends a request to a node from one of the servers.
func (r *region) ask(t *testing.T, server int, nodeID string) {
	t.Helper()
	// A transport of its own: a connection that is kept from before would hang
	// until the old session is closed.
	tr := r.servers[server].srv.newTransport()
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+nodeID+"/v1/client/stats", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatalf("server %d doesn't reach the node: %v", server, err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if _ = resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("server %d: %s, %v", server, resp.Status, err)
	}
}
