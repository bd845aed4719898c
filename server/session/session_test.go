package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/link/linkpb"
	"github.com/steppe-run/steppe/state/command"
	"github.com/steppe-run/steppe/structs"
)

func TestANodeHearsWhatConcernsIt(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	b := r.join(newNode(), 0)
	web := r.job("web", "/bin/one")
	first := r.place(web, a.node.ID, 3)
	a.follow(t, 0)
	testx.Eventually(t, 5*time.Second, "the first set", func() bool { return a.has(first...) })
	if n, full, _ := a.setCount(); n != 1 || full != 1 {
		t.Errorf("%d sets came, %d of them full", n, full)
	}
	one, two := a.alloc(first[0]), a.alloc(first[1])
	if one.Job == nil || one.Job != two.Job || one.Job.TaskGroups[0].Tasks[0].Config["command"] != "/bin/one" {
		t.Errorf("the jobs are %v and %v", one.Job, two.Job)
	}
	if one.NodeID != a.node.ID || one.TaskGroup != "web" || one.Metrics != nil {
		t.Errorf("the allocation reads %+v", one)
	}

	// What the node itself reports isn't told back, nor what is another's.
	err := a.UpdateAllocs(t.Context(), []*structs.AllocUpdate{{ID: first[0], ClientStatus: structs.AllocClientRunning}})
	if err != nil {
		t.Fatal(err)
	}
	r.place(web, b.node.ID, 1)
	second := r.place(r.job("web", "/bin/two"), a.node.ID, 1)
	testx.Eventually(t, 5*time.Second, "a new placement", func() bool { return a.has(append(second, first...)...) })
	if n, _, _ := a.setCount(); n != 2 {
		t.Errorf("%d sets came", n)
	}
	if job := a.alloc(second[0]).Job; job.GetVersion() != 1 || job.TaskGroups[0].Tasks[0].Config["command"] != "/bin/two" {
		t.Errorf("the new version reads %+v", job)
	}

	r.stopAllocs(web, first[1])
	testx.Eventually(t, 5*time.Second, "a stop", func() bool { return a.alloc(first[1]).DesiredStatus == structs.AllocDesiredStop })
	err = a.UpdateAllocs(t.Context(), []*structs.AllocUpdate{{ID: first[1], ClientStatus: structs.AllocClientComplete}})
	if err != nil {
		t.Fatal(err)
	}
	r.must(&command.Sweep{AllocIDs: []string{first[1]}, Now: 1})
	testx.Eventually(t, 5*time.Second, "a removal", func() bool { return a.has(first[0], first[2], second[0]) })
	if _, full, _ := a.setCount(); full != 1 {
		t.Errorf("%d full sets came", full)
	}
}

func TestAFollowerPassesOn(t *testing.T) {
	r := newRegion(t, 2)
	a := r.join(newNode(), 1)
	if got, err := a.Heartbeat(t.Context()); got != ttl || err != nil || r.beats.Load() != 1 {
		t.Errorf("heartbeat: %s, %v, %d counted", got, err, r.beats.Load())
	}
	if known := a.Servers(); len(known) != 2 {
		t.Errorf("the node knows the servers %v", known)
	}
	if a.LastContact().IsZero() {
		t.Error("the node had no contact")
	}
	placed := r.place(r.job("web", "/bin/one"), a.node.ID, 1)
	err := a.UpdateAllocs(t.Context(), []*structs.AllocUpdate{{ID: placed[0], ClientStatus: structs.AllocClientRunning}})
	if err != nil {
		t.Fatal(err)
	}
	reg := &structs.ServiceRegistration{
		ID: "_x", ServiceName: "web", Namespace: "default", NodeID: a.node.ID, AllocID: placed[0], JobID: "web", Address: "127.0.0.1", Port: 80,
	}
	if err := a.UpsertServices(t.Context(), []*structs.ServiceRegistration{reg}); err != nil {
		t.Fatal(err)
	}
	found, err := a.LookupServices(t.Context(), "default", "web")
	if err != nil || len(found) != 1 || found[0].Port != 80 {
		t.Errorf("found %v, %v", found, err)
	}
	if err := a.DeleteServices(t.Context(), "default", []string{"_x", "_unknown"}); err != nil {
		t.Fatal(err)
	}
	if found, err = a.LookupServices(t.Context(), "default", "web"); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}

	// While nobody leads, calls wait, as long as they may.
	r.lead(-1)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := a.Heartbeat(ctx); err == nil {
		t.Error("a heartbeat was counted by nobody")
	}
	r.lead(1)
	if _, err := a.Heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestANodeGoesToAnotherServer(t *testing.T) {
	r := newRegion(t, 3)
	a := r.join(newNode(), 1)
	web := r.job("web", "/bin/one")
	placed := r.place(web, a.node.ID, 2)
	a.follow(t, 0)
	testx.Eventually(t, 5*time.Second, "the first set", func() bool { return a.has(placed...) })
	_, _, before := a.setCount()

	r.servers[1].stop()
	more := r.place(web, a.node.ID, 1)
	testx.Eventually(t, 10*time.Second, "news from another server", func() bool { return a.has(append(more, placed...)...) })
	n, full, last := a.setCount()
	if full != 1 || last <= before {
		t.Errorf("%d sets came, %d full, the last at %d after %d: the watch did not resume", n, full, last, before)
	}
	if _, err := a.Heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
	if first := a.Servers()[0]; first == r.servers[1].addr {
		t.Error("the node names the lost server first")
	}
}

// What an agent that was started anew asks for must be no older than its
// registration: a server that has not applied that knows nothing of what runs.
func TestANodeAsksForWhatIsNoOlderThanItsRegistration(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	r.mu.Lock()
	registered := r.index
	r.mu.Unlock()
	placed := r.place(r.job("web", "/bin/one"), a.node.ID, 1)
	r.servers[0].asked.index.Store(0)
	a.follow(t, 0)
	testx.Eventually(t, 5*time.Second, "the first set", func() bool { return a.has(placed...) })
	if got := r.servers[0].asked.index.Load(); got != registered {
		t.Errorf("it asks for index %d, and was registered at %d", got, registered)
	}
}

// Each report of a node says that it comes after the ones before, also after the
// node was registered anew.
func TestReportsSayInWhichOrderTheyWereMade(t *testing.T) {
	r := newRegion(t, 1)
	node := newNode()
	a := r.join(node, 0)
	placed := r.place(r.job("web", "/bin/one"), node.ID, 1)
	report := func(a *agent, status string) {
		t.Helper()
		if err := a.UpdateAllocs(t.Context(), []*structs.AllocUpdate{{ID: placed[0], ClientStatus: status}}); err != nil {
			t.Fatal(err)
		}
	}
	report(a, structs.AllocClientPending)
	report(a, structs.AllocClientRunning)
	if _, err := a.Register(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	report(a, structs.AllocClientPending)
	report(r.join(node, 0), structs.AllocClientRunning) // the agent was started anew
	last := uint64(0)
	for i, u := range r.updates {
		if u.Order <= last {
			t.Errorf("report %d has order %d, the one before it %d", i, u.Order, last)
		}
		last = u.Order
	}
	if len(r.updates) != 4 {
		t.Errorf("%d reports came", len(r.updates))
	}
}

func TestARemovalThatWasMissedIsTold(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	web := r.job("web", "/bin/one")
	placed := r.place(web, a.node.ID, 2)
	seen := r.servers[0].store.Index()
	r.stopAllocs(web, placed...)
	for _, id := range placed {
		if err := a.UpdateAllocs(t.Context(), []*structs.AllocUpdate{{ID: id, ClientStatus: structs.AllocClientComplete}}); err != nil {
			t.Fatal(err)
		}
	}
	r.must(&command.Sweep{AllocIDs: placed[:1], Now: 1})
	a.mu.Lock()
	a.allocs[placed[0]] = &structs.Allocation{} // what it knew when it lost the connection
	a.mu.Unlock()
	a.follow(t, seen)
	testx.Eventually(t, 5*time.Second, "the removal and the stop", func() bool { return a.has(placed[1]) })
	if _, full, _ := a.setCount(); full != 0 {
		t.Error("the watch did not resume")
	}
	// Of what came before this server followed its store it knows nothing.
	old := r.join(newNode(), 0)
	old.follow(t, 1)
	testx.Eventually(t, 5*time.Second, "a full set", func() bool { _, full, _ := old.setCount(); return full == 1 })
}

func TestServersReachNodes(t *testing.T) {
	r := newRegion(t, 2)
	a := r.join(newNode(), 0)
	for n, b := range r.servers { // directly, and through the other
		tr, err := b.srv.NodeTransport(a.node.ID)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
		for range 3 {
			resp, err := client.Get("http://whatever/v1/client/stats?x=1")
			if err != nil {
				t.Fatalf("server %d: %v", n, err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if want := a.node.Name + " says /v1/client/stats"; string(body) != want || err != nil {
				t.Errorf("server %d: %q, %v", n, body, err)
			}
		}
		upgrade(t, tr)
	}
	tr, err := r.servers[1].srv.NodeTransport(newNode().ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&http.Client{Transport: tr}).Get("http://x/")
	var known *structs.Error
	if !errors.As(err, &known) || !strings.Contains(known.Text, "No path to node") {
		t.Errorf("a node that isn't there: %v", err)
	}
}

// upgrade talks over a connection that has left HTTP, as exec does.
func upgrade(t *testing.T, tr http.RoundTripper) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/upgrade", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := tr.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v, %v", resp, err)
	}
	conn := resp.Body.(io.ReadWriteCloser)
	defer func() { _ = conn.Close() }()
	said := bytes.Repeat([]byte("steppe "), 20_000)
	go func() { _, _ = conn.Write(said) }()
	heard := make([]byte, len(said))
	if _, err := io.ReadFull(conn, heard); err != nil || !bytes.Equal(heard, said) {
		t.Errorf("the echo differs: %v", err)
	}
}

func TestAnUnknownNodeRegistersAgain(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	r.must(&command.SetNodeStatus{Nodes: []command.NodeStatus{{NodeID: a.node.ID, Status: structs.NodeStatusDown}}, Now: 1})
	r.must(&command.DeleteNodes{NodeIDs: []string{a.node.ID}, Now: 1})
	if _, err := a.Heartbeat(t.Context()); !errors.Is(err, link.ErrNodeUnknown) {
		t.Errorf("heartbeat of a purged node: %v", err)
	}
	if _, err := a.Register(t.Context(), a.node); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
}

// A node that was taken over must not speak for others.
func TestANodeSpeaksForItselfOnly(t *testing.T) {
	r := newRegion(t, 2)
	victim, thief := r.join(newNode(), 0), r.join(newNode(), 1)
	placed := r.place(r.job("web", "/bin/one"), victim.node.ID, 1)
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, link.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a report about another's allocation", thief.UpdateAllocs(t.Context(), []*structs.AllocUpdate{{ID: placed[0], ClientStatus: structs.AllocClientFailed}}))
	refused("a service of another's allocation", thief.UpsertServices(t.Context(), []*structs.ServiceRegistration{{ID: "_x", ServiceName: "web", Namespace: "default", NodeID: thief.node.ID, AllocID: placed[0]}}))
	refused("a service of another node", thief.UpsertServices(t.Context(), []*structs.ServiceRegistration{{ID: "_x", ServiceName: "web", Namespace: "default", NodeID: victim.node.ID}}))
	if err := victim.UpsertServices(t.Context(), []*structs.ServiceRegistration{{ID: "_v", ServiceName: "web", Namespace: "default", NodeID: victim.node.ID, AllocID: placed[0]}}); err != nil {
		t.Fatal(err)
	}
	if err := thief.DeleteServices(t.Context(), "default", []string{"_v"}); err != nil {
		t.Error(err)
	}
	if found, err := victim.LookupServices(t.Context(), "default", "web"); err != nil || len(found) != 1 {
		t.Errorf("the victim's service: %v, %v", found, err)
	}
	posing := *thief.node
	posing.ID = victim.node.ID
	_, err := thief.Register(t.Context(), &posing)
	refused("another's id with a secret of one's own", err)
	_, err = thief.Heartbeat(t.Context())
	refused("a heartbeat in another's name", err)

	calls := r.dial(t, 0, certs.RoleClient)
	me := link.Caller{NodeID: thief.node.ID, SecretID: thief.node.SecretID}
	_, err = linkpb.NewNodeLinkClient(calls).GetJob(me.Outgoing(t.Context()), &linkpb.GetJobRequest{AllocId: placed[0], Ref: &linkpb.JobRef{}})
	if err == nil {
		t.Error("another's job was read")
	}
	_, err = linkpb.NewPeerLinkClient(calls).HoldsNode(t.Context(), &linkpb.HoldsNodeRequest{NodeId: victim.node.ID})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a node asks what servers ask: %v", err)
	}
	me.Forwarded = true
	_, err = linkpb.NewNodeLinkClient(calls).Heartbeat(me.Outgoing(t.Context()), &linkpb.HeartbeatRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a node passes calls on: %v", err)
	}
	_, err = linkpb.NewNodeLinkClient(calls).Heartbeat(t.Context(), &linkpb.HeartbeatRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call in nobody's name: %v", err)
	}
	tunnel, err := linkpb.NewPeerLinkClient(calls).Tunnel(t.Context())
	if err == nil {
		_, err = tunnel.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a node tunnels to another: %v", err)
	}
}

func TestHostileBytes(t *testing.T) {
	r := newRegion(t, 1)
	a := r.join(newNode(), 0)
	calls := linkpb.NewNodeLinkClient(r.dial(t, 0, certs.RoleClient))
	ctx := link.Caller{NodeID: a.node.ID, SecretID: a.node.SecretID}.Outgoing(t.Context())
	for _, raw := range [][]byte{nil, {0xc1}, []byte("junk"), bytes.Repeat([]byte{0x91}, 10_000), {0xdd, 0xff, 0xff, 0xff, 0xff}, {0x91, 0xc0}} {
		for name, call := range map[string]func() error{
			"register": func() error { _, err := calls.Register(ctx, &linkpb.RegisterRequest{Node: raw}); return err },
			"services": func() error {
				_, err := calls.UpsertServices(ctx, &linkpb.UpsertServicesRequest{Services: raw})
				return err
			},
			"updates": func() error {
				_, err := calls.UpdateAllocs(ctx, &linkpb.UpdateAllocsRequest{Updates: raw})
				return err
			},
		} {
			if err := call(); err == nil {
				t.Errorf("%s took %q", name, raw[:min(len(raw), 8)])
			}
		}
	}
	if _, err := a.Heartbeat(t.Context()); err != nil {
		t.Errorf("the server goes on: %v", err)
	}
}
