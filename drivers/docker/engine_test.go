//go:build linux

package docker_test

import (
	"context"
	"errors"
	"net"
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
