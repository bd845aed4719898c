package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-run/steppe/internal/testx"
)

func TestSingleServerAnswersAtOnce(t *testing.T) {
	began := time.Now()
	b := start(t, "only", t.TempDir(), "", t.TempDir(), func(c *Config) { c.Dev = true })
	if b.rep.HasState() {
		t.Error("a new server claims to have state")
	}
	if err := b.rep.Bootstrap([]Server{{ID: b.id, Addr: b.addr}}); err != nil {
		t.Fatal(err)
	}
	if lead := <-b.rep.Leadership(); !lead {
		t.Fatal("the first change of leadership is a loss")
	}
	index, result, err := b.rep.Propose(t.Context(), []byte("one"))
	if err != nil || result != 1 || index == 0 {
		t.Fatalf("propose: index %d, result %v, error %v", index, result, err)
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("the first entry took %s", took)
	}
	if id, addr, known := b.rep.Leader(); id != "only" || addr != b.addr || !known {
		t.Errorf("leader is %q at %q, known: %t", id, addr, known)
	}
	if err := b.rep.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if !b.rep.HasState() || b.rep.LastContact() != 0 {
		t.Errorf("has state %t, last contact %s", b.rep.HasState(), b.rep.LastContact())
	}
}

func TestNothingIsLostWithTheLeader(t *testing.T) {
	ca := t.TempDir()
	boxes := startThree(t, ca)
	lead := leaderOf(t, boxes)
	want := write(t, lead, 0, 50)
	sameEverywhere(t, boxes, want)

	lead.crash(t)
	rest := slices.DeleteFunc(slices.Clone(boxes), func(b *box) bool { return b == lead })
	began := time.Now()
	next := leaderOf(t, rest)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a new leader took %s", took)
	} else {
		t.Logf("a new leader after %s", took)
	}
	want = append(want, write(t, next, 50, 60)...)
	sameEverywhere(t, rest, want)

	back := start(t, lead.id, lead.dir, lead.addr, ca, nil)
	sameEverywhere(t, append(rest, back), want)
}

func TestServerComesBack(t *testing.T) {
	ca := t.TempDir()
	b := start(t, "only", t.TempDir(), "", ca, func(c *Config) { c.Dev = true })
	if err := b.rep.Bootstrap([]Server{{ID: b.id, Addr: b.addr}}); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*box{b})
	want := write(t, b, 0, 30)
	if err := b.rep.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = append(want, write(t, b, 30, 40)...)
	b.crash(t)

	again := start(t, b.id, b.dir, b.addr, ca, func(c *Config) { c.Dev = true })
	if !again.rep.HasState() {
		t.Error("a server that comes back claims to be new")
	}
	leaderOf(t, []*box{again})
	sameEverywhere(t, []*box{again}, want)
	if s := again.rep.Stats(); s.SnapshotIndex == 0 || s.AppliedIndex < s.SnapshotIndex {
		t.Errorf("stats: %+v", s)
	}
}

func TestLateServerIsBroughtUp(t *testing.T) {
	ca := t.TempDir()
	few := func(c *Config) { c.TrailingLogs = 4; c.SnapshotThreshold = 8 }
	first := start(t, "s0", t.TempDir(), "", ca, few)
	if err := first.rep.Bootstrap([]Server{{ID: "s0", Addr: first.addr}}); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*box{first})
	want := write(t, first, 0, 40)
	if err := first.rep.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := start(t, "s1", t.TempDir(), "", ca, few)
	if err := first.rep.AddVoter(t.Context(), "s1", late.addr); err != nil {
		t.Fatal(err)
	}
	want = append(want, write(t, first, 40, 45)...)
	sameEverywhere(t, []*box{first, late}, want)

	late.crash(t)
	late = start(t, "s1", late.dir, late.addr, ca, few) // a log that begins behind a snapshot
	sameEverywhere(t, []*box{first, late}, want)

	if err := first.rep.TransferLeadership(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 5*time.Second, "the second leads", late.rep.IsLeader)
	if err := late.rep.RemoveServer(t.Context(), "s0"); err != nil {
		t.Fatal(err)
	}
	servers, index, err := late.rep.Configuration()
	if err != nil || len(servers) != 1 || servers[0].ID != "s1" || index <= uint64(len(want)) {
		t.Errorf("configuration %v at %d, error %v", servers, index, err)
	}
}

func TestWhoDoesNotLeadRefuses(t *testing.T) {
	b := start(t, "alone", t.TempDir(), "", t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, _, err := b.rep.Propose(ctx, []byte("x")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose: %v", err)
	}
	if err := b.rep.Verify(ctx); !errors.Is(err, ErrNotLeader) {
		t.Errorf("verify: %v", err)
	}
	if err := b.rep.Barrier(ctx); !errors.Is(err, ErrNotLeader) {
		t.Errorf("barrier: %v", err)
	}
	if b.rep.LastContact() < time.Hour {
		t.Error("a server that never heard of a leader had contact")
	}
	b.crash(t)
	if _, _, err := b.rep.Propose(ctx, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("propose after close: %v", err)
	}
}

func TestProposalsKeepTheirOrder(t *testing.T) {
	b := start(t, "only", t.TempDir(), "", t.TempDir(), func(c *Config) { c.Dev = true })
	if err := b.rep.Bootstrap([]Server{{ID: b.id, Addr: b.addr}}); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*box{b})
	var want []string
	var futures []*Future
	for i := range 2000 {
		text := fmt.Sprint(i)
		futures = append(futures, b.rep.ProposeAsync([]byte(text)))
		want = append(want, text)
	}
	for i, f := range futures {
		if _, result, err := f.Wait(t.Context()); err != nil || result != i+1 {
			t.Fatalf("entry %d: result %v, error %v", i, result, err)
		}
	}
	sameEverywhere(t, []*box{b}, want)
}

func TestTwoAgentsCannotShareALog(t *testing.T) {
	b := start(t, "one", t.TempDir(), "", t.TempDir(), nil)
	r := &Replica{cfg: Config{DataDir: b.dir}.withDefaults(), log: b.rep.log}
	if err := r.openDisk(); err == nil {
		t.Error("a second agent opened the log")
	} else {
		t.Log(err)
	}
}

func TestEntriesOfTheLibraryAreNotForTheFSM(t *testing.T) {
	l := &ledger{}
	m := &machine{fsm: l}
	results := m.ApplyBatch([]*raft.Log{
		{Index: 5, Type: raft.LogCommand, Data: []byte("a")},
		{Index: 6, Type: raft.LogConfiguration, Data: []byte("voters")},
		{Index: 7, Type: raft.LogCommand, Data: []byte("b")},
	})
	if !slices.Equal(results, []any{1, nil, 2}) || !slices.Equal(l.indexes, []uint64{5, 7}) {
		t.Errorf("results %v for the entries %v", results, l.indexes)
	}
	if at := m.configured.Load(); at != 6 {
		t.Errorf("the configuration stands at %d", at)
	}
	if got := m.ApplyBatch([]*raft.Log{{Index: 8, Type: raft.LogConfiguration}}); len(got) != 1 || len(l.indexes) != 2 {
		t.Errorf("a configuration alone: %v, entries %v", got, l.indexes)
	}
}
