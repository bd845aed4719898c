package session

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ttl = 17 * time.Second

// region is a few servers whose stores apply the same entries, as Raft would
// have them do.
type region struct {
	t       testing.TB
	ca      string
	mu      sync.Mutex
	index   uint64
	leader  int // of servers; -1: none
	servers []*box
	beats   atomic.Int32
	updates []*structs.AllocUpdate
}

// asked is a store that notes the index up to which somebody waited for it last.
type asked struct {
	*state.Store
	index atomic.Uint64
}

// SnapshotAt implements Store.
func (s *asked) SnapshotAt(ctx context.Context, index uint64) (*state.Snapshot, error) {
	s.index.Store(index)
	return s.Store.SnapshotAt(ctx, index)
}

// box is one server of the region.
type box struct {
	r     *region
	addr  string
	store *state.Store
	asked asked
	srv   *Server
	group *loop.Group
	down  atomic.Bool
}

func newRegion(t testing.TB, servers int) *region {
	t.Helper()
	r := &region{t: t, ca: t.TempDir(), index: 10}
	for range servers {
		r.servers = append(r.servers, r.open())
	}
	r.job("before", "/bin/false") // the servers begin with something in their stores
	for _, b := range r.servers {
		b.group.Go("session server", b.srv.Run)
	}
	return r
}

func (r *region) tls(role certs.Role) *certs.TLS {
	r.t.Helper()
	id, err := certs.DevCA(r.ca, "global", role)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *region) open() *box {
	r.t.Helper()
	id := r.tls(certs.RoleServer)
	mux, err := link.Listen("127.0.0.1:0", id, logx.Discard())
	if err != nil {
		r.t.Fatal(err)
	}
	b := &box{r: r, addr: mux.Addr().String(), store: state.New(state.Options{}), group: loop.New(context.Background())}
	b.asked.Store = b.store
	b.srv, err = New(Config{
		Backend: r, Cluster: b, Store: &b.asked, Listener: mux.Listener(link.ALPNSession), TLS: id, Logger: logx.Discard(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	b.group.Go("mux", mux.Run)
	r.t.Cleanup(b.stop)
	return b
}

func (b *box) stop() {
	b.down.Store(true)
	b.group.Stop()
	if err := b.group.Wait(); err != nil {
		b.r.t.Errorf("server %s: %v", b.addr, err)
	}
}

// IsLeader implements Cluster.
func (b *box) IsLeader() bool {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	return b.r.leader >= 0 && b.r.servers[b.r.leader] == b
}

// LeaderAddr implements Cluster.
func (b *box) LeaderAddr() (string, bool) {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	if b.r.leader < 0 {
		return "", false
	}
	return b.r.servers[b.r.leader].addr, true
}

// ServerAddrs implements Cluster.
func (b *box) ServerAddrs() (addrs []string) {
	for _, s := range b.r.servers {
		if !s.down.Load() {
			addrs = append(addrs, s.addr)
		}
	}
	return addrs
}

// LocalAddr implements Cluster.
func (b *box) LocalAddr() string { return b.addr }

func (r *region) lead(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leader = n
}

// apply commits a command on every server.
func (r *region) apply(c command.Command) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index++
	for _, b := range r.servers {
		if err, bad := b.store.Apply(r.index, c).(error); bad {
			return 0, err
		}
	}
	return r.index, nil
}

func (r *region) must(c command.Command) uint64 {
	r.t.Helper()
	index, err := r.apply(c)
	if err != nil {
		r.t.Fatalf("apply %T: %v", c, err)
	}
	return index
}

// RegisterNode implements Backend.
func (r *region) RegisterNode(_ context.Context, n *structs.Node) (uint64, time.Duration, error) {
	index, err := r.apply(&command.RegisterNode{Node: n, Now: 1})
	return index, ttl, err
}

// Heartbeat implements Backend.
func (r *region) Heartbeat(_ context.Context, nodeID string) (time.Duration, error) {
	if r.servers[0].store.Snapshot().Node(nodeID) == nil {
		return 0, structs.ErrNodeNotFound
	}
	r.beats.Add(1)
	return ttl, nil
}

// UpdateAllocs implements Backend.
func (r *region) UpdateAllocs(_ context.Context, _ string, updates []*structs.AllocUpdate) (uint64, error) {
	r.mu.Lock()
	r.updates = append(r.updates, updates...)
	r.mu.Unlock()
	return r.apply(&command.UpdateAllocs{Updates: updates, Now: 1})
}

// UpsertServices implements Backend.
func (r *region) UpsertServices(_ context.Context, regs []*structs.ServiceRegistration) (uint64, error) {
	return r.apply(&command.UpsertServices{Services: regs})
}

// SyncServices implements Backend.
func (r *region) SyncServices(ctx context.Context, _ string, regs []*structs.ServiceRegistration) (uint64, error) {
	return r.UpsertServices(ctx, regs)
}

// DeleteServices implements Backend.
func (r *region) DeleteServices(_ context.Context, namespace string, list []string) (uint64, error) {
	return r.apply(&command.DeleteServices{Namespace: namespace, IDs: list})
}

func ptr[T any](v T) *T { return &v }

// job registers a version of a job.
func (r *region) job(id, what string) *structs.Job {
	r.t.Helper()
	r.must(&command.RegisterJob{Now: 1, Job: &structs.Job{
		ID: ptr(id), Name: ptr(id), Namespace: ptr("default"), Type: ptr("service"), NodePool: ptr("default"), Priority: ptr(50),
		TaskGroups: []*structs.TaskGroup{{
			Name: ptr("web"), Count: ptr(3),
			Tasks: []*structs.Task{{Name: "main", Driver: "raw_exec", Config: map[string]any{"command": what}}},
		}},
	}})
	return r.servers[0].store.Snapshot().Job("default", id)
}

// place puts n allocations of a job's newest version on a node.
func (r *region) place(j *structs.Job, nodeID string, n int) []string {
	r.t.Helper()
	seed := ids.NewSeed()
	group := structs.PlacementGroup{TaskGroup: "web", Seed: seed, Resources: &structs.AllocatedResources{
		Tasks: map[string]*structs.AllocatedTaskResources{"main": {Cpu: structs.AllocatedCpuResources{CpuShares: 1}}},
	}}
	var out []string
	for i := range n {
		group.Rows = append(group.Rows, structs.Placement{NodeID: nodeID, NameIndex: uint32(i)})
		out = append(out, ids.Derive(seed, uint32(i)))
	}
	eval := ids.New()
	r.must(&command.ApplyPlans{
		Plans: []*structs.Plan{{EvalID: eval, Namespace: "default", JobID: j.GetID(), JobVersion: j.GetVersion(), Groups: []structs.PlacementGroup{group}}},
		Evals: []*structs.Evaluation{{ID: eval, Namespace: "default", JobID: j.GetID(), Type: "service", Status: structs.EvalStatusComplete}},
		Now:   1,
	})
	for _, id := range out {
		if r.servers[0].store.Snapshot().Alloc(id) == nil {
			r.t.Fatalf("allocation %s was not placed", id)
		}
	}
	return out
}

func (r *region) stopAllocs(j *structs.Job, list ...string) {
	r.t.Helper()
	p := &structs.Plan{EvalID: ids.New(), Namespace: "default", JobID: j.GetID(), JobVersion: j.GetVersion()}
	for _, id := range list {
		p.Stops = append(p.Stops, structs.AllocStop{AllocID: id, DesiredStatus: structs.AllocDesiredStop})
	}
	r.must(&command.ApplyPlans{Now: 1, Plans: []*structs.Plan{p}, Evals: []*structs.Evaluation{
		{ID: p.EvalID, Namespace: "default", JobID: j.GetID(), Type: "service", Status: structs.EvalStatusComplete},
	}})
}

// agent is a node's end.
type agent struct {
	*link.Session
	node *structs.Node

	mu     sync.Mutex
	sets   []*link.AllocSet
	allocs map[string]*structs.Allocation
}

func newNode() *structs.Node {
	id := ids.New()
	return &structs.Node{
		ID: id, SecretID: ids.New(), Name: "node-" + id[:4], Datacenter: "dc1", NodePool: "default", Status: structs.NodeStatusReady,
		Attributes: map[string]string{"kernel.name": "linux"},
		NodeResources: &structs.NodeResources{
			Cpu:    structs.NodeCpuResources{CpuShares: 4000},
			Memory: structs.NodeMemoryResources{MemoryMB: 8192}, Disk: structs.NodeDiskResources{DiskMB: 100000},
		},
	}
}

// join runs a session with the servers numbered and registers the node.
func (r *region) join(node *structs.Node, servers ...int) *agent {
	r.t.Helper()
	var addrs []string
	for _, n := range servers {
		addrs = append(addrs, r.servers[n].addr)
	}
	return r.joinAt(node, addrs...)
}

// joinAt is join with the servers' addresses.
func (r *region) joinAt(node *structs.Node, addrs ...string) *agent {
	r.t.Helper()
	s, err := link.NewSession(link.SessionConfig{Servers: addrs, TLS: r.tls(certs.RoleClient)})
	if err != nil {
		r.t.Fatal(err)
	}
	a := &agent{Session: s, node: node, allocs: map[string]*structs.Allocation{}}
	s.SetHandler(http.HandlerFunc(a.answer))
	group := loop.New(context.Background())
	group.Go("session", s.Run)
	r.t.Cleanup(func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			r.t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if got, err := a.Register(ctx, node); err != nil || got != ttl {
		r.t.Fatalf("register: ttl %s, error %v", got, err)
	}
	return a
}

// follow watches until the test ends.
func (a *agent) follow(t testing.TB, from uint64) {
	group := loop.New(context.Background())
	group.Go("watch", func(ctx context.Context) error {
		return a.WatchAllocs(ctx, from, func(set *link.AllocSet) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.sets = append(a.sets, set)
			if set.Full {
				clear(a.allocs)
			}
			for _, alloc := range set.Upserts {
				a.allocs[alloc.ID] = alloc
			}
			for _, id := range set.Removed {
				delete(a.allocs, id)
			}
			return nil
		})
	})
	t.Cleanup(func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// has reports whether the node knows exactly these allocations.
func (a *agent) has(want ...string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	var got []string
	for id := range a.allocs {
		got = append(got, id)
	}
	slices.Sort(got)
	slices.Sort(want)
	return slices.Equal(got, want)
}

func (a *agent) alloc(id string) *structs.Allocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.allocs[id]
}

func (a *agent) setCount() (all, full int, last uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sets {
		if s.Full {
			full++
		}
		last = s.Index
	}
	return len(a.sets), full, last
}

// answer is the node's own API.
func (a *agent) answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/upgrade" {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		buf := make([]byte, 1024)
		for {
			n, err := rw.Read(buf)
			if err != nil {
				return
			}
			_, _ = rw.Write(buf[:n])
			_ = rw.Flush()
		}
	}
	_, _ = fmt.Fprintf(w, "%s says %s", a.node.Name, r.URL.Path)
}

// dial opens a bare session to a server.
func (r *region) dial(t *testing.T, server int, role certs.Role) *grpc.ClientConn {
	t.Helper()
	peer, err := link.DialPeer(t.Context(), r.servers[server].addr, r.tls(role))
	if err != nil {
		t.Fatal(err)
	}
	calls, err := peer.Calls()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = calls.Close()
		_ = peer.Close()
	})
	return calls
}
