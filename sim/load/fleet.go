package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/heap"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/structs"
)

// FleetOptions says which nodes are simulated.
type FleetOptions struct {
	// Server is the link address of the server, CA the folder of the authority
	// that it shares with the nodes.
	Server, CA string
	Nodes      int
	Equal      bool
}

// registeringAtOnce bounds how many nodes connect and register at a time.
const registeringAtOnce = 64

// fleet is the process of the simulated nodes.
type fleet struct {
	opts  FleetOptions
	doors doors
	tally *tally
}

// Serve simulates nodes until the commands end. Each line of in is one command:
// status; hold WAVE (allocations of that wave wait); release; and is answered
// with one line of JSON, a Progress.
func Serve(ctx context.Context, opts FleetOptions, in io.Reader, out io.Writer) error {
	identity, err := certs.DevCA(opts.CA, "global", certs.RoleClient)
	if err != nil {
		return err
	}
	f := &fleet{opts: opts, doors: make(doors, registeringAtOnce), tally: newTally()}
	var nodes []*node
	for i := range opts.Nodes {
		n, err := newNode(f, i, identity, quiet())
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	group := loop.New(ctx)
	roomy(group)
	for _, n := range nodes {
		group.Go(n.self.Name, n.run)
	}
	err = f.obey(group, nodes, in, out)
	group.Stop()
	return errors.Join(err, group.Wait())
}

// roomy lets a process of a run gather garbage: it shares the machine with what is
// measured.
func roomy(group *loop.Group) {
	if !heap.UserDecides() {
		group.Go("garbage", func(ctx context.Context) error { return heap.Keep(ctx, clock.Real{}, heap.Room()) })
	}
}

// obey answers commands until there are no more.
func (f *fleet) obey(group *loop.Group, nodes []*node, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	answer := json.NewEncoder(out)
	for lines.Scan() {
		if group.Context().Err() != nil {
			return context.Cause(group.Context())
		}
		verb, wave, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "status":
		case "hold":
			f.tally.hold(wave)
		case "release":
			f.tally.hold("")
			for _, n := range nodes {
				n.poke()
			}
		default:
			return fmt.Errorf("the command %q is none of status, hold, release", lines.Text())
		}
		if err := answer.Encode(f.tally.progress(wave)); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	return lines.Err()
}

// doors lets so many in at a time.
type doors chan struct{}

func (d doors) take(ctx context.Context) error {
	select {
	case d <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d doors) give() { <-d }

// Progress is how far the simulated nodes are, with one wave of jobs.
type Progress struct {
	Registered int
	// Received counts allocations that reached their node, Running those whose
	// report as running was committed.
	Received, Running int
	// NodesUsed counts the nodes that received any.
	NodesUsed int
	// P50, P99 and Worst are from submit to running.
	P50, P99, Worst time.Duration
	// Failures counts what went wrong, LastFailure is the latest.
	Failures    int
	LastFailure string
}

// tally counts what the nodes see.
type tally struct {
	mu          sync.Mutex
	nodes       int
	holding     string
	waves       map[string]*waveCount
	failures    int
	lastFailure string
}

type waveCount struct {
	received, running int
	nodes             map[string]struct{}
	took              []time.Duration
}

func newTally() *tally { return &tally{waves: map[string]*waveCount{}} }

func (t *tally) wave(name string) *waveCount {
	w := t.waves[name]
	if w == nil {
		w = &waveCount{nodes: map[string]struct{}{}}
		t.waves[name] = w
	}
	return w
}

func (t *tally) registered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes++
}

func (t *tally) received(node string, a *structs.Allocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.wave(waveOf(a))
	w.received++
	w.nodes[node] = struct{}{}
}

// told notes a report that the servers have committed.
func (t *tally) told(batch []*structs.Allocation, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range batch {
		at, ok := submitted(a)
		if a.DesiredStatus != structs.AllocDesiredRun || !ok {
			continue
		}
		w := t.wave(waveOf(a))
		w.running++
		w.took = append(w.took, now.Sub(at))
	}
}

func (t *tally) failed(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures++
	t.lastFailure = fmt.Sprintf("%s: %v", what, err)
}

func (t *tally) hold(wave string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holding = wave
}

func (t *tally) held() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holding
}

func (t *tally) progress(wave string) Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.wave(wave)
	p := Progress{
		Registered: t.nodes, Received: w.received, Running: w.running, NodesUsed: len(w.nodes),
		Failures: t.failures, LastFailure: t.lastFailure,
	}
	if len(w.took) > 0 {
		slices.Sort(w.took)
		p.P50, p.P99, p.Worst = quantile(w.took, 50), quantile(w.took, 99), w.took[len(w.took)-1]
	}
	return p
}

// quantile is the smallest value that percent of the sorted values don't exceed.
func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
