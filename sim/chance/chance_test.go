package chance

import (
	"flag"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/sim/story"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // stories leave much garbage
	goleak.VerifyTestMain(m)
}

var (
	from = flag.Uint64("from", 1, "the first seed")
	runs = flag.Uint64("runs", 100, "how many stories are made up and played")
)

func TestMadeUpStories(t *testing.T) {
	sum, err := Play(t.Context(), *from, *runs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range sum.Failures {
		t.Error(f)
	}
	t.Logf("%d stories, %d entries, %d turns; %d fail", sum.Stories, sum.Entries, sum.Turns, len(sum.Failures))
}

func TestTheSameSeedIsTheSameHistory(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 85, 89, 172} { // of the last three, much is told in one report
		var hashes [3][32]byte
		for i := range hashes {
			s, err := Story(seed)
			if err != nil {
				t.Fatal(err)
			}
			r, err := story.Run(s, story.Options{})
			if err != nil {
				t.Fatal(err)
			}
			hashes[i] = r.Hash
		}
		if hashes[0] != hashes[1] || hashes[0] != hashes[2] {
			t.Errorf("seed %d went two ways", seed)
		}
	}
}

func TestWhatFailsIsMadeShort(t *testing.T) {
	s, err := story.Parse(`a cluster of 1 servers and 2 nodes
job web service count=1
wait 1m
job api service count=2
node-2 dies
expect web 7 running within 10s
wait 1m
`)
	if err != nil {
		t.Fatal(err)
	}
	short, err := Shortest(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(short.Lines) != 1 || short.Lines[0].Text != "expect web 7 running within 10s" {
		t.Errorf("left over:\n%s", short)
	}
}

func TestShardsAreNotPlayedTwice(t *testing.T) {
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	shards := Shards{Dir: dir, Size: 2, Revision: "a"}
	var told []uint64
	done := func(n uint64) { told = append(told, n) }
	first, err := shards.Play(t.Context(), 1, 3, done)
	if err != nil {
		t.Fatal(err)
	}
	told = nil
	again, err := shards.Play(t.Context(), 1, 3, done)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || first.Stories != 3 || again.Stories != 3 || first.Entries != again.Entries {
		t.Errorf("the second time: %v, %+v", told, again)
	}
	if err := dir.WriteFile("seeds-1-2.json", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	told = nil
	if _, err := shards.Play(t.Context(), 1, 3, done); err != nil || len(told) != 4 {
		t.Errorf("a shard that was cut off was taken for whole: %v, %v", told, err)
	}
	shards.Revision = "b"
	told = nil
	if _, err := shards.Play(t.Context(), 1, 3, done); err != nil || len(told) != 5 {
		t.Errorf("shards of another program were taken: %v, %v", told, err)
	}
	var b strings.Builder
	if err := first.Markdown(&b); err != nil || !strings.Contains(b.String(), "| stories | 3 |") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
