package story

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/client/fingerprint"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/sim/chronicle"
	"github.com/steppe-run/steppe/sim/cluster"
	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/sim/server"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/invariant"
)

// Options say how a story is played.
type Options struct {
	// Logger receives what servers and nodes log; nil discards it.
	Logger *slog.Logger
	// Trace receives each line as its turn comes, and what is answered; nil
	// discards it.
	Trace io.Writer
	// Rewrite takes what is shown for right.
	Rewrite bool
	// Origin is the region that the story begins with, in place of the cluster
	// that it describes; see ParseSteps.
	Origin *cluster.Origin
	// Wait is how long to let time pass after the last line.
	Wait time.Duration
	// Most is how many entries the log may have, 0 for no limit: a story that
	// should come to rest and doesn't is broken, and ends there.
	Most uint64
}

// Play is a story under way.
type Play struct {
	story   *Story
	options Options
	cluster *cluster.Cluster
	watch   *invariant.Watch
	past    *chronicle.Chronicle
	// line is the one whose turn it is; background says that nobody waits for
	// its outcome.
	line       *Line
	background bool
	began      time.Time
	unhealthy  map[string]bool // by job
	// ahead is how far the clocks of servers are ahead, by name.
	ahead map[string]time.Duration
	// right is when nothing waits any more for a time that a clock told that was
	// wrong by skew.
	right time.Time
	skew  time.Duration
	// collected says that garbage was collected.
	collected bool
	room      *room
	crashes   []crash
	result    *Result
}

// crash is a server that is to die at an entry of the log.
type crash struct {
	name string // "" for the leader
	at   uint64
}

// Result is how a story went.
type Result struct {
	// Violations are promises that were broken.
	Violations []*invariant.Violation
	// Failures are lines whose expectation didn't come true.
	Failures Errors
	// Entries, Steps and Took are how much happened: of the log, in turns, in
	// virtual time.
	Entries uint64
	Steps   int
	Took    time.Duration
	// Faults counts what was done to the cluster.
	Faults map[string]int
	// Features counts what was used of the system.
	Features map[string]int
	Hash     [32]byte
	// Last is the state at the end, nil if every server was down; End when that was.
	Last *state.Snapshot
	End  time.Time
}

// Broken reports whether anything is wrong.
func (r *Result) Broken() bool { return len(r.Violations)+len(r.Failures) > 0 }

// String tells what is wrong, a line each.
func (r *Result) String() string {
	var b strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintln(&b, v)
	}
	for _, f := range r.Failures {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// Run plays a story. An error says that it could not be played at all.
func Run(s *Story, o Options) (*Result, error) {
	p := &Play{
		story: s, options: o, unhealthy: map[string]bool{}, ahead: map[string]time.Duration{}, room: newRoom(),
		result: &Result{Faults: map[string]int{}, Features: map[string]int{}},
	}
	var err error
	if p.past, err = chronicle.New(); err != nil {
		return nil, err
	}
	c, err := cluster.New(cluster.Config{
		Seed: s.Seed, Servers: s.Servers, Begin: s.Begin, Logger: o.Logger, Applied: p.applied, Origin: o.Origin,
		Settings: control.Config{Brake: control.BrakeConfig{MinNodes: s.BrakeFrom}},
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p.cluster, p.began = c, c.Now()
	if o.Origin != nil {
		p.watch = invariant.NewWatch(o.Origin.Snapshot)
	}
	c.Healthy = p.healthy
	for i := range s.Nodes {
		if err := p.addNode(fmt.Sprint("node-", i+1), nil); err != nil {
			return nil, err
		}
	}
	p.pass(5 * time.Second)
	for i := range s.Lines {
		p.play(&s.Lines[i])
		if len(p.result.Violations) > 0 {
			break // what follows from a broken promise is of no interest
		}
	}
	p.pass(o.Wait)
	p.conclude()
	return p.result, nil
}

// conclude notes what has become of it all.
func (p *Play) conclude() {
	c, r := p.cluster, p.result
	if r.Last = c.Snapshot(); r.Last != nil {
		r.Entries, r.Hash = r.Last.Index(), r.Last.StateHash()
		if from := p.options.Origin; from != nil {
			r.Entries -= from.Snapshot.Index()
		}
	}
	r.Steps, r.Took, r.End = c.Runtime().Steps(), c.Now().Sub(p.began), c.Now()
	for what, n := range c.Net().Counts() {
		r.Faults["message "+what] += n
	}
}

func (p *Play) addNode(name string, meta map[string]string) error {
	_, err := p.cluster.AddNode(node.Config{
		Name:   name,
		Client: client.Config{Speaks: "1.10.0", Version: "0.0.0", Meta: meta},
		Facts: fingerprint.Facts{
			Attributes: map[string]string{"kernel.name": "linux", "os.name": "simulated"},
			MHz:        p.story.CPU, Cores: 4, MemoryMB: p.story.MemoryMB, DiskMB: 1_000_000,
		},
	})
	return err
}

// play performs one line.
func (p *Play) play(l *Line) {
	p.line = l
	words := l.words
	p.background = words[0] == wordTry
	refused := words[0] == wordRefused
	if p.background || refused {
		words = words[1:]
	}
	args, _ := match(l.verb.form, words)
	p.trace("%8s  %s\n", p.cluster.Now().Sub(p.began).Round(time.Millisecond), l.Text)
	err := l.verb.do(p, args)
	switch {
	case refused && err == nil:
		p.fail("it was not refused")
	case refused:
		if err := p.answer(strings.TrimSpace(err.Error()) + "\n"); err != nil {
			p.fail(err.Error())
		}
	case err != nil && !p.background:
		p.fail(err.Error())
	}
}

func (p *Play) fail(what string) {
	p.trace("          ! %s\n", what)
	p.result.Failures = append(p.result.Failures, &Error{p.line.Number, fmt.Sprintf("%s: %s", p.line.Text, what)})
}

func (p *Play) trace(format string, args ...any) {
	if p.options.Trace != nil {
		_, _ = fmt.Fprintf(p.options.Trace, format, args...) // who follows may go away
	}
}

// applied judges each entry, and ends the servers that are to die at it.
func (p *Play) applied(on *server.Server, index uint64) {
	if p.watch == nil {
		p.watch = invariant.NewWatch(state.New(state.Options{}).Snapshot())
	}
	p.watch.Seen = p.past.Follow
	violations := p.watch.Entry(on.Store())
	if p.options.Most > 0 && index > p.options.Most && len(p.result.Violations) == 0 {
		violations = append(violations, &invariant.Violation{Rule: "rest", Index: index, What: "there is no end of entries"})
	}
	p.result.Violations = append(p.result.Violations, violations...)
	for _, v := range violations {
		p.trace("%8s  ! %s\n", p.cluster.Now().Sub(p.began), v)
	}
	for i, c := range p.crashes {
		if index >= c.at && (c.name == on.Name() || c.name == "") {
			p.crashes = append(p.crashes[:i], p.crashes[i+1:]...)
			p.result.Faults["server dies at an entry"]++
			p.cluster.Doom(on)
			break
		}
	}
}

// healthy answers the checks of tasks.
func (p *Play) healthy(n *node.Node, probe service.Probe) bool {
	for _, t := range n.Engine().Running() {
		if t.Config.AllocID == probe.AllocID {
			return !p.unhealthy[t.Config.JobID]
		}
	}
	return true
}

// ask has a user ask for something, and waits for the answer unless nobody
// cares.
func (p *Play) ask(f func(ctx context.Context, on *control.Control) error) error {
	var answered bool
	var outcome error
	line := p.line
	p.cluster.Ask(line.Text, f, func(err error) {
		if answered, outcome = true, err; err == nil {
			p.used(line)
		}
	})
	if p.background {
		return nil
	}
	if p.lookUntil(70*time.Second, func() bool { return answered }); !answered {
		return fmt.Errorf("no answer within 70s")
	}
	return outcome
}
