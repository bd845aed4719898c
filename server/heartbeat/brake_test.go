package heartbeat

import (
	"fmt"
	"testing"
	"time"
)

// fleet is nodes that call as they are told, until they vanish.
type fleet struct {
	tr    *Tracker
	calls map[string]time.Time // when each calls next
}

func newFleet(n int, opts Options) *fleet {
	f := &fleet{tr: New(opts), calls: map[string]time.Time{}}
	for i := range 2 * n { // twice: the first ones are told too little while the others are unknown
		f.tr.Beat(node(i%n), start)
	}
	for i := range n { // the first call comes at a random moment of the time to live
		f.calls[node(i)] = start.Add(f.tr.Window() - opts.Grace).Add(-time.Duration(i) * (f.tr.Window() - opts.Grace) / time.Duration(n))
	}
	return f
}

func node(i int) string { return fmt.Sprintf("%06d", i) }

// until lets time pass to at, second by second, and returns the roll and the
// moment of the first expiry.
func (f *fleet) until(from, at time.Time) (Roll, time.Time) {
	for now := from; !now.After(at); now = now.Add(time.Second) {
		for id, next := range f.calls {
			if !next.After(now) {
				f.calls[id] = now.Add(f.tr.Beat(id, now))
			}
		}
		if next, ok := f.tr.Next(); ok && !next.After(now) {
			return f.tr.Roll(now), now
		}
	}
	return f.tr.Roll(at), at
}

func TestWhenManyAreSilentNoneIsGivenUp(t *testing.T) {
	brake := Brake{Percent: 40, MinNodes: 20}
	for _, c := range []struct {
		nodes, vanish int
		holds         bool
	}{
		{nodes: 10, vanish: 10, holds: false}, // small: as everywhere else
		{nodes: 19, vanish: 19, holds: false},
		{nodes: 20, vanish: 1, holds: false},
		{nodes: 20, vanish: 8, holds: false},
		{nodes: 20, vanish: 10, holds: true},
		{nodes: 20, vanish: 20, holds: true},
		{nodes: 300, vanish: 100, holds: false}, // a zone of three
		{nodes: 300, vanish: 150, holds: true},
		{nodes: 5000, vanish: 250, holds: false},
		{nodes: 5000, vanish: 1666, holds: false},
		// Their time to live is 100 s, and the first of them is found after 10 s.
		{nodes: 5000, vanish: 2500, holds: true},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.vanish, c.nodes), func(t *testing.T) {
			f := newFleet(c.nodes, opts)
			warm := start.Add(3 * f.tr.Window())
			if _, at := f.until(start, warm); !at.Equal(warm) {
				t.Fatalf("a living node expired after %s", at.Sub(start))
			}
			for i := range c.vanish {
				delete(f.calls, node(i*c.nodes/c.vanish))
			}
			roll, at := f.until(warm.Add(time.Second), warm.Add(time.Hour))
			if took := at.Sub(warm); took > 22*time.Second {
				t.Errorf("the first is found after %s", took)
			}
			if got := brake.Holds(roll, 0); got != c.holds {
				t.Errorf("held back: %v, of %+v", got, roll)
			}
		})
	}
}

// TestTheShareIsNeverExceededUnseen gives nodes up one by one, with so short a
// grace that few are overdue at any moment: those that are gone count.
func TestTheShareIsNeverExceededUnseen(t *testing.T) {
	short := Options{MinTTL: 10 * time.Second, PerSecond: 50, Grace: time.Second}
	brake := Brake{Percent: 40, MinNodes: 20}
	f := newFleet(40, short)
	f.until(start, start.Add(30*time.Second))
	clear(f.calls)
	gone := 0
	for now := start.Add(31 * time.Second); f.tr.Len() > 0; now = now.Add(time.Second) {
		if brake.Holds(f.tr.Roll(now), gone) {
			break
		}
		gone += len(f.tr.Expired(now))
	}
	if gone == 0 || gone*100 > 40*40 {
		t.Errorf("%d of 40 were given up before the others were held back", gone)
	}
}

// TestANewLeaderJudgesAllAtOnce has no more to go on than that some have not
// called since: those are all overdue in one moment, and a few of many are not
// many.
func TestANewLeaderJudgesAllAtOnce(t *testing.T) {
	brake := Brake{Percent: 40, MinNodes: 20}
	for _, c := range []struct {
		dead  int
		holds bool
	}{{250, false}, {1900, false}, {2100, true}} {
		f := newFleet(5000, opts)
		var all []string
		for i := range 5000 {
			all = append(all, node(i))
			if i < c.dead {
				delete(f.calls, node(i))
			}
		}
		f.tr.Reset(all, 5000, start)
		roll, at := f.until(start, start.Add(time.Hour))
		if took := at.Sub(start); took != 110*time.Second {
			t.Errorf("the dead are found after %s", took)
		}
		if got := brake.Holds(roll, 0); got != c.holds {
			t.Errorf("%d dead, held back: %v, of %+v", c.dead, got, roll)
		}
	}
}

func TestANewLeaderKeepsToWhatNodesWereTold(t *testing.T) {
	tr := New(opts)
	tr.Reset([]string{"a"}, 5000, start) // 4,999 of 5,000 nodes are down
	if at, _ := tr.Next(); !at.Equal(start.Add(110 * time.Second)) {
		t.Errorf("a node that was told 100 s is given up after %s", at.Sub(start))
	}
	patient := opts
	patient.FirstTTL = time.Minute
	tr = New(patient)
	tr.Reset([]string{"a"}, 1, start)
	if at, _ := tr.Next(); !at.Equal(start.Add(70 * time.Second)) {
		t.Errorf("the configured first time to live is not kept: %s", at.Sub(start))
	}
}

func TestWatchedNodesAreNotCounted(t *testing.T) {
	tr := New(opts)
	tr.Beat("a", start)
	tr.Watch("b", start.Add(time.Second))
	if r := tr.Roll(start.Add(21 * time.Second)); r != (Roll{Nodes: 1, Silent: 1, Missed: 1}) {
		t.Errorf("%+v", r)
	}
	if got := fmt.Sprint(tr.Expired(start.Add(21 * time.Second))); got != "[a b]" {
		t.Errorf("expired: %s", got)
	}
}

// TestNobodyExpiresByALeapOfTime has time leap for a tracker that is looked at
// every two seconds; what it is told first then is a call, or nothing.
func TestNobodyExpiresByALeapOfTime(t *testing.T) {
	ticking := opts
	ticking.Tick = 2 * time.Second
	for _, leap := range []time.Duration{-3 * time.Hour, -time.Second, 5 * time.Second, 15 * time.Second, time.Minute, time.Hour} {
		for _, calls := range []bool{false, true} {
			tr := New(ticking)
			for _, id := range []string{"a", "b", "c"} {
				tr.Beat(id, start)
			}
			now := start
			for range 5 {
				now = now.Add(2 * time.Second)
				tr.Stood(now)
			}
			now = now.Add(leap)
			if calls {
				tr.Beat("c", now)
			}
			if got := tr.Stood(now); got != leap {
				t.Errorf("a leap of %s is taken for one of %s", leap, got)
			}
			for range 4 {
				if got := tr.Expired(now); got != nil {
					t.Errorf("a leap of %s, and %v expire", leap, got)
				}
				now = now.Add(2 * time.Second)
			}
			now = now.Add(2 * time.Second)
			want := "[a b c]"
			if calls {
				want = "[a b]"
			}
			if got := fmt.Sprint(tr.Expired(now)); got != want {
				t.Errorf("after a leap of %s, %s expire in their time, want %s", leap, got, want)
			}
		}
	}
}
