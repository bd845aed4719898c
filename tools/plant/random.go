package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// room is a package that is changed at random, and the tests of it. They are
// followed by the stories of the simulator.
type room struct {
	path  string
	tests [][]string
}

var rooms = []room{
	{"scheduler/reconcile", [][]string{{"./scheduler/reconcile"}, {"./scheduler"}}},
	{"scheduler/place", [][]string{{"./scheduler/place"}, {"./scheduler"}}},
	{"scheduler/preempt", [][]string{{"./scheduler/preempt", "./scheduler/place"}, {"./scheduler"}}},
	{"server/deployer", [][]string{{"./server/deployer"}}},
	{"server/drainer", [][]string{{"./server/drainer"}}},
	{"server/broker", [][]string{{"./server/broker"}}},
	{"server/blocked", [][]string{{"./server/blocked"}}},
	{"server/heartbeat", [][]string{{"./server/heartbeat"}}},
	{"server/periodic", [][]string{{"./server/periodic"}}},
	{"server/sweeper", [][]string{{"./server/sweeper"}}},
	{"state", [][]string{{"./state"}}},
	{"state/alloc", [][]string{{"./state/alloc"}, {"./state"}}},
}

// atRandom makes changes at random and lists those that no test notices. They
// are no failure of the program: a person must say what each of them means. All
// are woven into the code together and switched on one at a time.
func atRandom(ctx context.Context, t *tester, o options, out io.Writer) error {
	all, err := everyChange(o.rooms)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("no room's path contains %q", o.rooms)
	}
	random := rand.New(rand.NewPCG(o.seed, 0))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	chosen := all[:min(o.random, len(all))]
	total := map[verdict]int{}
	began := time.Now()
	for i := range rooms {
		r := &rooms[i]
		var mine []*change
		for _, c := range chosen {
			if c.room == r {
				mine = append(mine, c)
			}
		}
		if len(mine) == 0 {
			continue
		}
		count, err := t.tryAll(ctx, mine, append(slices.Clone(r.tests), stories(o)...), out)
		if err != nil {
			return fmt.Errorf("%s: %w", r.path, err)
		}
		for v, n := range count {
			total[v] += n
		}
	}
	_, _ = fmt.Fprintf(out, "%d of %d possible changes (seed %d): %d caught, %d survived, %d don't build, %s\n", len(chosen),
		len(all), o.seed, total[caught], total[survived], total[noBuild], time.Since(began).Round(time.Second))
	return nil
}

// stories are the tests of the simulator.
func stories(o options) [][]string {
	out := [][]string{{"./sim/story"}}
	if o.runs > 0 {
		out = append(out, []string{"./sim/chance", "-run", "MadeUp",
			"-from", strconv.FormatUint(o.from, 10), "-runs", strconv.Itoa(o.runs)})
	}
	return out
}

// everyChange lists the changes that can be made to the rooms.
func everyChange(words string) ([]*change, error) {
	var all []*change
	for i := range rooms {
		r := &rooms[i]
		if !contains(r.path, words) {
			continue
		}
		files, err := filepath.Glob(filepath.Join(r.path, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read a room: %w", err)
			}
			changes, err := changesOf(file, string(text))
			if err != nil {
				return nil, err
			}
			for _, c := range changes {
				c.room = r
			}
			all = append(all, changes...)
		}
	}
	return all, nil
}
