package server

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/steppe-run/steppe/internal/archive"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/server/servertest"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// real is a server with its log on disk, its ports bound and its gossip.
type real struct {
	*Server
	t   *testing.T
	cfg Config
	g   *loop.Group
}

// startReal runs a server until the test ends or it is stopped.
func startReal(t *testing.T, cfg Config) *real {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &real{Server: s, t: t, cfg: cfg, g: loop.New(context.Background())}
	r.g.Go("server", s.Run)
	t.Cleanup(r.stop)
	return r
}

func (r *real) stop() {
	r.g.Stop()
	if err := r.g.Wait(); err != nil {
		r.t.Errorf("server %s ended badly: %v", r.cfg.Name, err)
	}
}

func realConfig(t *testing.T, name, ca string, expect int) Config {
	t.Helper()
	identity, err := certs.DevCA(ca, "global", certs.RoleServer)
	if err != nil {
		t.Fatal(err)
	}
	local := func() string { return net.JoinHostPort("127.0.0.1", "0") }
	return Config{
		Name: name, DataDir: filepath.Join(t.TempDir(), name), TLS: identity, Dev: expect == 1,
		BootstrapExpect: expect, LinkAddr: local(), SerfAddr: local(),
	}
}

func (r *real) leads() bool { return r.Leading() }

func TestARealServerPlacesAndRemembers(t *testing.T) {
	cfg := realConfig(t, "one", t.TempDir(), 1)
	r := startReal(t, cfg)
	testx.Eventually(t, 10*time.Second, "the server leads", r.leads)
	ctx := t.Context()
	node := servertest.Node("a")
	if _, _, err := r.RegisterNode(ctx, node); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RegisterJob(ctx, &structs.JobRegisterRequest{Job: servertest.Job("web", "service", 3)}); err != nil {
		t.Fatal(err)
	}
	placed := func(s *state.Store) func() bool {
		return func() bool {
			n := 0
			for range s.Snapshot().AllocsByJob("default", "web") {
				n++
			}
			return n == 3
		}
	}
	testx.Eventually(t, 10*time.Second, "three allocations are placed", placed(r.Store()))
	checkSaved(t, r, cfg.DataDir)
	before := r.Store().Snapshot().StateHash()
	r.stop()

	again := startReal(t, cfg)
	testx.Eventually(t, 10*time.Second, "the server leads again", again.leads)
	if !placed(again.Store())() {
		t.Fatal("allocations were lost")
	}
	if again.Store().Snapshot().StateHash() != before {
		t.Error("the state came back different")
	}
	if err := again.ConsistentIndex(ctx); err != nil {
		t.Error(err)
	}
}

// checkSaved saves the state and reads it: whole, and with no file that a server
// that ends meanwhile would leave behind.
func checkSaved(t *testing.T, r *real, dir string) {
	t.Helper()
	saved, err := r.SaveState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close() //nolint:errcheck // it was only read
	if left, err := filepath.Glob(filepath.Join(dir, "snapshot-*")); err != nil || len(left) > 0 {
		t.Errorf("while it is read there is %v: %v", left, err)
	}
	var meta archive.Meta
	err = archive.Read(saved, saved.Size*100, func(m archive.Meta) (io.Writer, error) {
		meta = m
		return io.Discard, nil
	})
	if err != nil || meta.Index != saved.Index || saved.Index == 0 {
		t.Errorf("saved at %d, it says %d: %v", saved.Index, meta.Index, err)
	}
}

func TestLeadershipMovesAndTheWorkGoesOn(t *testing.T) {
	ca := t.TempDir()
	var servers []*real
	for _, name := range []string{"one", "two", "three"} {
		cfg := realConfig(t, name, ca, 3)
		if len(servers) > 0 {
			cfg.RetryJoin = []string{servers[0].SerfAddr()}
		}
		servers = append(servers, startReal(t, cfg))
	}
	leader := func() *real {
		for _, r := range servers {
			if r.leads() {
				return r
			}
		}
		return nil
	}
	testx.Eventually(t, 20*time.Second, "one of the three leads", func() bool { return leader() != nil })
	first := leader()
	node := servertest.Node("a")
	if _, _, err := first.RegisterNode(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	if _, err := first.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: servertest.Job("web", "service", 2)}); err != nil {
		t.Fatal(err)
	}
	first.stop()
	servers = removed(servers, first)
	testx.Eventually(t, 20*time.Second, "another one leads", func() bool { return leader() != nil })
	second := leader()
	testx.Eventually(t, 20*time.Second, "the job is placed", func() bool {
		n := 0
		for range second.Store().Snapshot().AllocsByJob("default", "web") {
			n++
		}
		return n == 2
	})
	if _, err := second.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: servertest.Job("more", "service", 1)}); err != nil {
		t.Fatal(err)
	}
	other := removed(servers, second)[0]
	testx.Eventually(t, 10*time.Second, "the follower has it too", func() bool {
		return other.Store().Snapshot().Job("default", "more") != nil
	})
	if _, err := other.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: servertest.Job("web", "service", 1)}); err == nil {
		t.Error("a follower took a write")
	}
}

func removed(list []*real, r *real) []*real {
	var out []*real
	for _, x := range list {
		if x != r {
			out = append(out, x)
		}
	}
	return out
}

func TestAServerThatCannotOpenLeavesNothingBehind(t *testing.T) {
	ca := t.TempDir()
	first := startReal(t, realConfig(t, "one", ca, 1))
	for name, clash := range map[string]func(*Config){
		"the link port is taken":   func(c *Config) { c.LinkAddr = first.LinkAddr() },
		"the gossip port is taken": func(c *Config) { c.SerfAddr = first.SerfAddr() },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := realConfig(t, "two", ca, 1)
			free := cfg
			clash(&cfg)
			if s, err := New(cfg); err == nil {
				t.Fatalf("opened on %s", s.LinkAddr())
			}
			again := startReal(t, free) // the same data directory: its log isn't held any more
			testx.Eventually(t, 10*time.Second, "the server leads", again.leads)
		})
	}
}

func TestStrangersWhoGossipGetNoVote(t *testing.T) {
	one := startReal(t, realConfig(t, "one", t.TempDir(), 1))
	testx.Eventually(t, 10*time.Second, "the server leads", one.leads)
	for _, name := range []string{"rogue-1", "rogue-2"} {
		cfg := realConfig(t, name, t.TempDir(), 0) // another authority
		cfg.RetryJoin = []string{one.SerfAddr()}
		startReal(t, cfg)
	}
	testx.Eventually(t, 10*time.Second, "all gossip", func() bool { return len(one.members.List()) == 3 })
	for _, m := range one.members.List() {
		if m.ID == one.id {
			continue
		}
		if err := (voters{one.Server}).AddVoter(t.Context(), m.ID, m.RPCAddr); err == nil {
			t.Errorf("%s was made a voter", m.Name)
		}
	}
	if servers, _, err := one.replica.Configuration(); err != nil || len(servers) != 1 {
		t.Errorf("%d servers vote, %v", len(servers), err)
	}
	if _, err := one.RegisterJob(t.Context(), &structs.JobRegisterRequest{Job: servertest.Job("web", "service", 1)}); err != nil {
		t.Errorf("the cluster does not work any more: %v", err)
	}
}
