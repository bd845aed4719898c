//go:build linux

package pull

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
)

const patience = 20 * time.Second

// engine is an engine whose downloads a test leads.
type engine struct {
	client *client.Client
	asked  atomic.Int32
	ended  atomic.Int32
	say    chan string
}

func newEngine(t *testing.T) *engine {
	e := &engine{say: make(chan string)}
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(e.serve)}
	group := loop.New(context.Background())
	group.Go("engine", func(context.Context) error { _ = server.Serve(l); return nil })
	t.Cleanup(func() { _ = server.Close(); _ = group.Wait() })
	if e.client, err = client.New(client.WithHost("unix://"+path), client.WithAPIVersion("1.41")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.client.Close() })
	return e
}

func (e *engine) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/images/create") {
		w.Header().Set("Api-Version", "1.41")
		return
	}
	e.asked.Add(1)
	defer e.ended.Add(1)
	w.WriteHeader(http.StatusOK)
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case text := <-e.say:
			if text == "" {
				return
			}
			_, _ = fmt.Fprintln(w, text)
		case <-r.Context().Done():
			return
		}
	}
}

// waiter is one who wants an image.
type waiter struct {
	mu   sync.Mutex
	told []string
	err  chan error
	stop context.CancelFunc
}

func (w *waiter) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.told, "\n")
}

type bed struct {
	*engine
	t      *testing.T
	clock  *clock.Manual
	group  *loop.Group
	puller *Puller
}

func newBed(t *testing.T) *bed {
	b := &bed{engine: newEngine(t), t: t, clock: clock.NewManual(time.Unix(1e9, 0)), group: loop.New(context.Background())}
	b.puller = New(b.group, b.clock, 10*time.Second, time.Minute)
	t.Cleanup(func() { b.group.Stop(); _ = b.group.Wait() })
	return b
}

func (b *bed) pull(image string, timeout time.Duration) *waiter {
	w := &waiter{err: make(chan error, 1)}
	ctx, cancel := context.WithCancel(b.t.Context())
	w.stop = cancel
	b.group.Go("waiter", func(context.Context) error {
		w.err <- b.puller.Pull(ctx, b.client, Request{Image: image, Timeout: timeout, Stall: 2 * time.Minute, Tell: func(m string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, m)
		}})
		return nil
	})
	return w
}

// waiting waits until the download of the image has so many who wait for it.
func (b *bed) waiting(image string, n int) {
	b.t.Helper()
	testx.Eventually(b.t, patience, fmt.Sprintf("%d wait", n), func() bool {
		b.puller.mu.Lock()
		defer b.puller.mu.Unlock()
		d := b.puller.active[image+"\x00"]
		if d == nil {
			return n == 0
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.waiters) == n
	})
}

func (b *bed) result(w *waiter) error {
	b.t.Helper()
	select {
	case err := <-w.err:
		return err
	case <-time.After(patience):
		b.t.Fatal("a download doesn't end")
		return nil
	}
}

func (b *bed) advance(d time.Duration) {
	b.t.Helper()
	for range int(d / time.Second) {
		b.clock.Advance(time.Second)
		// The watch takes up what is due before more time goes by.
		select {
		case <-b.t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
}

func TestTasksShareOneDownload(t *testing.T) {
	b := newBed(t)
	first, second := b.pull("web:1", time.Minute), b.pull("web:1", time.Minute)
	b.waiting("web:1", 2)
	b.say <- `{"status":"Pulling from web","id":"1"}`
	b.say <- `{"status":"Downloading","id":"aaa","progressDetail":{"current":1048576,"total":4194304}}`
	b.say <- `{"status":"Already exists","id":"bbb","progressDetail":{}}`
	const want = "Docker image pull progress: 1 of 2 layers are there, 1.0 of 4.0 MiB of what is downloaded now"
	testx.Eventually(t, patience, "both are told", func() bool {
		b.clock.Advance(time.Second)
		return strings.Contains(first.heard(), want) && strings.Contains(second.heard(), want)
	})
	first.stop()
	if err := b.result(first); !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves is told %v", err)
	}
	b.say <- `{"status":"Pull complete","id":"aaa"}`
	b.say <- ""
	if err := b.result(second); err != nil {
		t.Errorf("who stays is told %v", err)
	}
	if n := b.asked.Load(); n != 1 {
		t.Errorf("the engine was asked %d times", n)
	}
}

func TestTheLastToLeaveEndsTheDownload(t *testing.T) {
	b := newBed(t)
	w := b.pull("web:1", time.Minute)
	b.say <- `{"status":"Downloading","id":"aaa","progressDetail":{"current":1,"total":4}}`
	w.stop()
	_ = b.result(w)
	testx.Eventually(t, patience, "the engine notices", func() bool { return b.ended.Load() == 1 })
	b.waiting("web:1", 0)
	next := b.pull("web:1", time.Minute)
	b.say <- ""
	if err := b.result(next); err != nil || b.asked.Load() != 2 {
		t.Errorf("who comes afterwards is told %v", err)
	}
}

func TestADownloadThatStandsStillIsGivenUp(t *testing.T) {
	b := newBed(t)
	w := b.pull("web:1", time.Hour)
	const same = `{"status":"Downloading","id":"aaa","progressDetail":{"current":1,"total":4}}`
	b.say <- same
	for range 3 {
		b.advance(30 * time.Second)
		b.say <- same // an engine that repeats itself doesn't move
	}
	b.advance(40 * time.Second)
	if err := b.result(w); err == nil || !strings.Contains(err.Error(), "stood still for 2m0s") {
		t.Errorf("told %v", err)
	}
	if n := strings.Count(w.heard(), "\n") + 1; n < 3 || n > 4 {
		t.Errorf("%d words on progress within 130 s:\n%s", n, w.heard())
	}
}

func TestATaskWaitsAsLongAsItMay(t *testing.T) {
	b := newBed(t)
	short, long := b.pull("web:1", 50*time.Millisecond), b.pull("web:1", time.Minute)
	if err := b.result(short); err == nil || !strings.Contains(err.Error(), "longer than the 50ms") {
		t.Errorf("told %v", err)
	}
	b.say <- `{"errorDetail":{"message":"no such thing"},"error":"no such thing"}`
	if err := b.result(long); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("told %v", err)
	}
}
