package chance

import (
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/sim/story"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	from   = flag.Uint64("from", 1, "the first seed")
	runs   = flag.Int("runs", 50, "how many stories are made up and played")
	tell   = flag.Bool("tell", false, "tell the story of -from as it happens")
	logs   = flag.Bool("logs", false, "with -tell: also what servers and nodes log")
	shrink = flag.Bool("shrink", true, "make what fails short")
)

// TestSeed plays the story of -from, told line by line.
func TestSeed(t *testing.T) {
	if !*tell {
		t.Skip("asked for by -tell")
	}
	s, err := Story(*from)
	if err != nil {
		t.Fatal(err)
	}
	options := story.Options{Trace: t.Output()}
	if *logs {
		options.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	}
	first, err := story.Run(s, story.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if *shrink && first.Broken() {
		want := kind(first)
		s = Shrink(s, func(s *story.Story) bool { return kind(play(t, s)) == want })
	}
	t.Log("\n" + s.String())
	result, err := story.Run(s, options)
	if err != nil {
		t.Fatal(err)
	}
	if result.Broken() {
		t.Error(result)
	}
}

func play(t testing.TB, s *story.Story) *story.Result {
	result, err := story.Run(s, story.Options{})
	if err != nil {
		t.Error(err)
		return &story.Result{}
	}
	return result
}

func TestMadeUpStories(t *testing.T) {
	var next atomic.Uint64
	next.Store(*from)
	end := *from + uint64(*runs)
	var entries, steps, failed atomic.Int64
	began := time.Now()
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for seed := next.Add(1) - 1; seed < end; seed = next.Add(1) - 1 {
				s, err := Story(seed)
				if err != nil {
					t.Error(err)
					return
				}
				result := play(t, s)
				entries.Add(int64(result.Entries))
				steps.Add(int64(result.Steps))
				if result.Broken() {
					failed.Add(1)
					t.Errorf("seed %d fails:\n%s", seed, result)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d stories, %d entries, %d turns in %s; %d fail", *runs, entries.Load(), steps.Load(), time.Since(began), failed.Load())
}

// kind is what a failure is about, its particulars aside.
func kind(r *story.Result) string {
	if len(r.Violations) > 0 {
		return r.Violations[0].Rule
	}
	if len(r.Failures) > 0 {
		what := r.Failures[0].What
		return fmt.Sprint("failure ", what[:min(len(what), 30)])
	}
	return ""
}
