package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReportsDuringACommitGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		var batches []int
		in := New(func(_ context.Context, updates []*structs.AllocUpdate) (uint64, error) {
			<-release
			mu.Lock()
			defer mu.Unlock()
			batches = append(batches, len(updates))
			return uint64(len(batches)), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		g := loop.New(ctx)
		g.Go("intake", in.Run)
		callers := loop.New(ctx)
		submit := func(i int) {
			callers.Go("caller", func(ctx context.Context) error {
				_, err := in.Submit(ctx, []*structs.AllocUpdate{{ID: fmt.Sprint(i)}})
				return err
			})
		}
		submit(0)
		synctest.Wait() // the first one is being committed
		for i := range 9 {
			submit(i + 1)
		}
		synctest.Wait()
		close(release)
		if err := callers.Wait(); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(batches) != "[1 9]" {
			t.Fatalf("batches of %v, want 1 and 9", batches)
		}
		cancel()
		_ = g.Wait() // ended by its context
	})
}

func TestAFailedCommitIsToldToAllInIt(t *testing.T) {
	broken := errors.New("broken")
	in := New(func(context.Context, []*structs.AllocUpdate) (uint64, error) { return 0, broken })
	ctx, cancel := context.WithCancel(t.Context())
	g := loop.New(ctx)
	g.Go("intake", in.Run)
	if _, err := in.Submit(ctx, []*structs.AllocUpdate{{ID: "a"}}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	cancel()
	_ = g.Wait() // ended by its context
}

func TestWhoWaitsIsToldTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(func(ctx context.Context, _ []*structs.AllocUpdate) (uint64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		g := loop.New(ctx)
		g.Go("intake", in.Run)
		callers := loop.New(t.Context())
		for i := range 3 {
			callers.Go("caller", func(ctx context.Context) error {
				if _, err := in.Submit(ctx, []*structs.AllocUpdate{{ID: fmt.Sprint(i)}}); err == nil {
					return errors.New("a report was taken by an intake that had ended")
				}
				return nil
			})
		}
		synctest.Wait()
		cancel()
		if err := callers.Wait(); err != nil {
			t.Fatal(err)
		}
		_ = g.Wait() // ended by its context
	})
}
