package loop

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestFirstFailureEndsTheGroup(t *testing.T) {
	boom := errors.New("boom")
	g := New(t.Context())
	g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	g.Go("fails", func(context.Context) error { return boom })
	err := g.Wait()
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "fails: ") {
		t.Fatalf("Wait() = %v", err)
	}
}

func TestStopIsNotAFailure(t *testing.T) {
	g := New(t.Context())
	g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	g.Stop()
	if err := g.Wait(); err != nil {
		t.Fatalf("Wait() = %v", err)
	}
}
