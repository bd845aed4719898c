//go:build linux

package docker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/loop"
)

// firstFingerprint returns what the driver says at first.
func firstFingerprint(t *testing.T, d drivers.Driver) *drivers.Fingerprint {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var first *drivers.Fingerprint
	seen := errors.New("seen")
	if err := d.Fingerprint(ctx, func(fp *drivers.Fingerprint) error { first = fp; return seen }); !errors.Is(err, seen) {
		t.Fatal(err)
	}
	return first
}

func TestAbsentEngineIsUndetected(t *testing.T) {
	d, _, stop := open(t, map[string]any{"endpoint": "unix://" + filepath.Join(t.TempDir(), "no.sock")})
	defer stop()
	fp := firstFingerprint(t, d)
	if fp.Health != drivers.HealthUndetected || !strings.Contains(fp.Description, "can't be reached") {
		t.Errorf("fingerprint = %+v", fp)
	}
}

// TestHungEngine talks to an engine that accepts and never answers.
func TestHungEngineCostsLimitedTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hung.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	group := loop.New(context.Background())
	group.Go("accept", func(context.Context) error {
		var held []net.Conn
		defer func() {
			for _, c := range held {
				_ = c.Close()
			}
		}()
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			held = append(held, c)
		}
	})
	defer func() { _ = l.Close(); _ = group.Wait() }()
	d, _, stop := open(t, map[string]any{"endpoint": "unix://" + path})
	defer stop()
	begun := time.Now()
	if fp := firstFingerprint(t, d); fp.Health != drivers.HealthUndetected {
		t.Errorf("fingerprint = %+v", fp)
	}
	if took := time.Since(begun); took > 12*time.Second {
		t.Errorf("a hung engine was waited for %s", took)
	}
	begun = time.Now()
	if _, err := d.Capabilities(t.Context()); err != nil || time.Since(begun) > time.Second {
		t.Errorf("a hung engine holds up what doesn't need it: %v", err)
	}
}

func TestConfigurationFaults(t *testing.T) {
	for want, block := range map[string]map[string]any{
		"not a duration": {"image_pull_timeout": "soon"},
		"endpoint":       {"endpoint": "nonsense"},
		"auth.helper":    {"auth": map[string]any{"helper": "../ecr"}},
	} {
		if err := configure(t, block); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", block, err, want)
		}
	}
}

// slowEngine has every image, and makes a container only once it is allowed to.
type slowEngine struct {
	asked, allowed, removed chan struct{}
}

func (e *slowEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(path, "/containers/create"):
		close(e.asked)
		<-e.allowed
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"Id":"late"}`) // nobody may listen
	case strings.HasSuffix(path, "/containers/late") && r.Method == http.MethodDelete:
		close(e.removed)
	case strings.Contains(path, "/images/"):
		_, _ = io.WriteString(w, `{"Id":"sha256:1"}`) // as above
	case strings.HasSuffix(path, "/_ping"):
	default:
		http.NotFound(w, r)
	}
}

// TestGivenUpStartLeavesNoContainer gives a start up while the engine is making
// the container, which it then does.
func TestGivenUpStartLeavesNoContainer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slow.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	engine := &slowEngine{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	server := &http.Server{Handler: engine, ReadHeaderTimeout: patience}
	group := loop.New(context.Background())
	group.Go("serve", func(context.Context) error { _ = server.Serve(l); return nil })
	defer func() { _ = server.Close(); _ = group.Wait() }()
	block := pluginBlock()
	block["endpoint"] = "unix://" + path
	w := &world{t: t}
	w.driver, w.schema, w.stop = open(t, block)
	defer w.stop()
	task := w.task(sh("sleep 300"))
	ctx, giveUp := context.WithCancel(t.Context())
	done := make(chan error, 1)
	group.Go("start", func(context.Context) error { _, err := w.driver.Start(ctx, task); done <- err; return nil })
	<-engine.asked
	giveUp()
	close(engine.allowed)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-engine.removed:
	case <-timer.C:
		t.Error("the container is left")
	}
}
