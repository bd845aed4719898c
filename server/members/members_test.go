package members

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
)

// A probe under way when the library shuts down ends with its own timeout, a
// second or so later.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

type host struct {
	m     *Members
	group *loop.Group
	addr  string
}

// open starts a server's gossip on 127.0.0.n.
func open(t *testing.T, n, expect int, change func(*Config)) *host {
	t.Helper()
	ip := fmt.Sprintf("127.0.0.%d", n)
	cfg := Config{
		Name: fmt.Sprintf("s%d", n), ID: fmt.Sprintf("id-%d", n), Region: "global", Datacenter: "dc1", Version: "1",
		BindAddr: ip, BindPort: freePort(t, ip), RPCAddr: ip + ":4647", HTTPAddr: ip + ":4646",
		BootstrapExpect: expect, FeatureLevel: 3, Logger: logx.Discard(),
	}
	if change != nil {
		change(&cfg)
	}
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{m: m, group: loop.New(context.Background()), addr: fmt.Sprintf("%s:%d", ip, cfg.BindPort)}
	h.group.Go("members", m.Run)
	t.Cleanup(func() { h.stop(t) })
	return h
}

// freePort returns a port that is free for both TCP and UDP.
func freePort(t *testing.T, ip string) int {
	t.Helper()
	for range 50 {
		port := testx.FreePort(t, ip)
		if p, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", ip, port)); err == nil {
			_ = p.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func (h *host) stop(t testing.TB) {
	t.Helper()
	h.group.Stop()
	if err := h.group.Wait(); err != nil {
		t.Errorf("%s: %v", h.addr, err)
	}
}

func (h *host) sees(status string) (names []string) {
	for _, s := range h.m.List() {
		if s.Status == status {
			names = append(names, s.Name)
		}
	}
	return names
}

func TestThreeServersMakeOneCluster(t *testing.T) {
	t.Parallel()
	a := open(t, 1, 3, nil)
	join := func(c *Config) { c.RetryJoin = []string{a.addr} }
	all := []*host{a, open(t, 2, 3, join), open(t, 3, 3, join)}

	var made atomic.Int32
	var states [3]atomic.Bool
	var mu sync.Mutex
	var got []Voter
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	group := loop.New(ctx)
	for i, h := range all {
		group.Go("bootstrap", func(ctx context.Context) error {
			return h.m.Bootstrap(ctx, states[i].Load, func(v []Voter) error {
				mu.Lock()
				defer mu.Unlock()
				made.Add(1)
				got = v
				for j := range states { // Raft would tell the others
					states[j].Store(true)
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	want := []Voter{{"id-1", "127.0.0.1:4647"}, {"id-2", "127.0.0.2:4647"}, {"id-3", "127.0.0.3:4647"}}
	if made.Load() != 1 || !slices.Equal(got, want) {
		t.Errorf("made %d clusters, the last of %v", made.Load(), got)
	}
	for _, h := range all {
		testx.Eventually(t, 5*time.Second, "everyone says it belongs to a cluster", func() bool {
			list := h.m.List()
			return len(list) == 3 && !slices.ContainsFunc(list, func(s Member) bool { return !s.HasState })
		})
	}
	// One who comes later must not make another cluster.
	late := open(t, 4, 3, join)
	lateCtx, stop := context.WithTimeout(t.Context(), 2*settle+time.Second)
	defer stop()
	err := late.m.Bootstrap(lateCtx, func() bool { return false }, func([]Voter) error {
		return errors.New("a second cluster was made")
	})
	if err != nil {
		t.Error(err)
	}
	local := late.m.Local()
	if local.Name != "s4.global" || local.ID != "id-4" || local.Expect != 3 || late.m.Oldest().FeatureLevel != 3 {
		t.Errorf("local member: %+v", local)
	}
}

func TestAClusterIsNotMadeWithStrangers(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	doubt := func(c *Config) {
		c.Prove = func(context.Context, string) error { asked.Add(1); return errors.New("another authority") }
	}
	a := open(t, 1, 2, doubt)
	b := open(t, 2, 2, func(c *Config) { doubt(c); c.RetryJoin = []string{a.addr} })
	ctx, cancel := context.WithCancel(t.Context())
	group := loop.New(ctx)
	for _, h := range []*host{a, b} {
		group.Go("bootstrap", func(ctx context.Context) error {
			return h.m.Bootstrap(ctx, func() bool { return false }, func([]Voter) error { return errors.New("a cluster was made") })
		})
	}
	testx.Eventually(t, 20*time.Second, "the other was asked twice", func() bool { return asked.Load() >= 2 })
	cancel()
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhoLeavesAndWhoFails(t *testing.T) {
	t.Parallel()
	a := open(t, 1, 3, nil)
	join := func(c *Config) { c.RetryJoin = []string{a.addr} }
	b, c := open(t, 2, 3, join), open(t, 3, 3, join)
	testx.Eventually(t, 10*time.Second, "all three are seen", func() bool { return len(a.sees(StatusAlive)) == 3 })

	changed := a.m.Changed()
	if err := b.m.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It goes on telling until it ends: on a slow machine the second that it
	// gives the others may not be enough.
	testx.Eventually(t, 20*time.Second, "the second has left", func() bool { return slices.Equal(a.sees(StatusLeft), []string{"s2.global"}) })
	b.stop(t)
	select {
	case <-changed:
	default:
		t.Error("a change was not announced")
	}
	c.stop(t)
	testx.Eventually(t, 20*time.Second, "the third has failed", func() bool { return slices.Equal(a.sees(StatusFailed), []string{"s3.global"}) })
	if err := a.m.ForceLeave("s3", true); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 10*time.Second, "the third is forgotten", func() bool { return len(a.sees(StatusFailed)) == 0 && len(a.m.List()) == 2 })
	if err := a.m.ForceLeave("nobody", false); err == nil {
		t.Error("an unknown server was made to leave")
	}
}

func TestTheOldestMemberIsKnown(t *testing.T) {
	t.Parallel()
	a := open(t, 1, 3, nil)
	level := func(n int) func(*Config) {
		return func(c *Config) { c.RetryJoin = []string{a.addr}; c.FeatureLevel = n }
	}
	oldest := func(name string, level int) func() bool {
		return func() bool {
			o := a.m.Oldest()
			return o.Name == name && o.FeatureLevel == level
		}
	}
	if !oldest("s1.global", 3)() {
		t.Errorf("alone, the oldest is %+v", a.m.Oldest())
	}
	open(t, 2, 3, level(4))
	old := open(t, 3, 3, level(1))
	testx.Eventually(t, 20*time.Second, "the older one is seen", oldest("s3.global", 1))
	old.stop(t)
	testx.Eventually(t, 20*time.Second, "it has failed", func() bool { return slices.Equal(a.sees(StatusFailed), []string{"s3.global"}) })
	if !oldest("s3.global", 1)() {
		t.Error("a silent server isn't counted any more, though it may come back")
	}
	if err := a.m.ForceLeave("s3", false); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "who left doesn't count", oldest("s1.global", 3))
}

func TestStrangersStayOut(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef")
	a := open(t, 1, 3, func(c *Config) { c.EncryptKey = key })
	other := open(t, 2, 3, func(c *Config) { c.EncryptKey = key; c.Region = "europe" })
	if _, err := other.m.Join([]string{a.addr}); err == nil {
		t.Error("a server of another region was let in")
	}
	open3 := open(t, 3, 3, nil)
	if _, err := open3.m.Join([]string{a.addr}); err == nil {
		t.Error("a server without the key was let in")
	}
	if len(a.m.List()) != 1 {
		t.Errorf("members: %v", a.sees(StatusAlive))
	}
	friend := open(t, 4, 3, func(c *Config) { c.EncryptKey = key })
	if n, err := friend.m.Join([]string{a.addr}); n != 1 || err != nil {
		t.Errorf("joined %d, error %v", n, err)
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		"not built yet": func(c *Config) { c.RetryJoin = []string{"provider=aws tag_key=x"} },
		"16, 24 or 32":  func(c *Config) { c.EncryptKey = []byte("short") },
	} {
		cfg := Config{Name: "x", ID: "x", Region: "global", BindAddr: "127.0.0.1", BindPort: freePort(t, "127.0.0.1")}
		change(&cfg)
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	ip := "127.0.0.9"
	nobody := fmt.Sprintf("%s:%d", ip, freePort(t, ip))
	cfg := Config{
		Name: "x", ID: "x", Region: "global", BindAddr: "127.0.0.1", BindPort: freePort(t, "127.0.0.1"),
		RetryJoin: []string{nobody}, RetryMax: 2, RetryInterval: 100 * time.Millisecond,
	}
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	if err := m.Run(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("nobody answers, yet the server goes on: %v", err)
	}
	cancel()
}
