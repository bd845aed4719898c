package cluster

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/steppe-run/steppe/server/control"
	"github.com/steppe-run/steppe/sim/node"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// backup lets a cluster live for a while and returns what it has come to.
func backup(t *testing.T) *Origin {
	t.Helper()
	c := newCluster(t, 1, 3, 4)
	for _, id := range []string{"api", "web"} {
		c.Ask("register", func(ctx context.Context, on *control.Control) error {
			_, err := on.RegisterJob(ctx, &structs.JobRegisterRequest{Job: job(id, 5)})
			return err
		}, nil)
	}
	c.Pass(2 * time.Minute)
	idlest(c).Die()
	c.Pass(5 * time.Minute)
	var image bytes.Buffer
	if err := c.Snapshot().Persist(&image); err != nil {
		t.Fatal(err)
	}
	o, err := ReadOrigin(&image, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Snapshot.StateHash() != c.Snapshot().StateHash() {
		t.Fatal("what was read is not what was written")
	}
	return o
}

func busiest(c *Cluster) *node.Node {
	return slices.MaxFunc(c.Nodes(), func(a, b *node.Node) int { return len(a.Engine().Running()) - len(b.Engine().Running()) })
}

func idlest(c *Cluster) *node.Node {
	return slices.MinFunc(c.Nodes(), func(a, b *node.Node) int { return len(a.Engine().Running()) - len(b.Engine().Running()) })
}

// fates are what users see of each allocation and node.
func fates(s *state.Snapshot) map[string]string {
	out := map[string]string{}
	for a := range s.Allocs(structs.AllNamespaces, "") {
		out[a.ID] = a.Name + " " + a.NodeID + " " + a.DesiredStatus + " " + a.ClientStatus
		for name, t := range a.TaskStates {
			out[a.ID+name] = fmt.Sprint(t.State, t.Restarts, t.StartedAt, len(t.Events))
		}
	}
	for n := range s.Nodes("") {
		out[n.ID] = n.Name + " " + n.Status + " " + n.SchedulingEligibility
	}
	return out
}

func TestWhatRestsGoesOnAtRest(t *testing.T) {
	o := backup(t)
	c, err := New(Config{Seed: 7, Servers: 3, Origin: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if !c.Now().Equal(o.At) || c.Now().Before(Begin.Add(2*time.Minute)) {
		t.Errorf("it begins at %s", c.Now())
	}
	c.Pass(time.Hour)
	if c.Leader() == nil {
		t.Fatal("nobody leads")
	}
	before, after := fates(o.Snapshot), fates(c.Snapshot())
	running := 0
	for id, fate := range after {
		if before[id] != fate {
			t.Errorf("%q became %q", before[id], fate)
		}
	}
	for _, n := range c.Nodes() {
		running += len(n.Engine().Running())
	}
	if len(before) != len(after) || running != 10 {
		t.Errorf("%d of before, %d after, %d tasks run", len(before), len(after), running)
	}
	if c.Snapshot().Index() <= o.Snapshot.Index() {
		t.Error("nothing was written: the nodes have not even told their names")
	}
}

func TestWhatCameBeforeGoesOn(t *testing.T) {
	o := backup(t)
	c, err := New(Config{Seed: 7, Servers: 3, Origin: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Pass(10 * time.Second)
	c.Servers()[1].Crash()
	lost := map[string]bool{}
	away := slices.IndexFunc(c.Nodes(), func(n *node.Node) bool { return n.Machine() == nil })
	dies := busiest(c)
	for a := range c.Snapshot().AllocsByNode(dies.ID()) {
		lost[a.ID] = !a.TerminalStatus()
	}
	dies.Die()
	c.Pass(2 * time.Minute)
	if err := c.Servers()[1].Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Nodes()[away].Start(); err != nil { // it was down in the snapshot
		t.Fatal(err)
	}
	c.Pass(2 * time.Minute)
	placed := 0
	for a := range c.Snapshot().Allocs(structs.AllNamespaces, "") {
		if lost[a.ID] && a.ClientStatus != structs.AllocClientLost {
			t.Errorf("%s is %s", a.Name, a.ClientStatus)
		}
		if a.CreateIndex > o.Snapshot.Index() {
			placed++
		}
	}
	if len(lost) == 0 || placed != len(lost) {
		t.Errorf("%d were lost, %d placed", len(lost), placed)
	}
	if n := c.Snapshot().Node(c.Nodes()[away].ID()); n.Status != structs.NodeStatusReady {
		t.Errorf("the node that came back is %s", n.Status)
	}
	for _, s := range c.Servers() {
		if s.Store().Snapshot().StateHash() != c.Snapshot().StateHash() {
			t.Errorf("%s differs", s.Name())
		}
	}
}

func TestTheSeedOfAnOriginMakesNoIdentifierTwice(t *testing.T) {
	o := backup(t) // of seed 1
	c, err := New(Config{Seed: 1, Servers: 3, Origin: o})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		if id := c.NewID(); o.Snapshot.Node(id) != nil || o.Snapshot.Eval(id) != nil {
			t.Fatalf("%s is there already", id)
		}
	}
}

func TestOneSeedIsOneHistoryOfAnOrigin(t *testing.T) {
	o := backup(t)
	live := func() [32]byte {
		c, err := New(Config{Seed: 3, Servers: 3, Origin: o})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Pass(10 * time.Second)
		busiest(c).Die()
		c.Pass(2 * time.Minute)
		return c.Snapshot().StateHash()
	}
	if once, again := live(), live(); once != again {
		t.Error("the same origin and seed gave two histories")
	}
}

func TestWhatIsNoStateIsNoOrigin(t *testing.T) {
	var image bytes.Buffer
	if err := state.New(state.Options{}).Snapshot().Persist(&image); err != nil {
		t.Fatal(err)
	}
	if _, err := NewOrigin(image.Bytes(), time.Time{}); err != nil {
		t.Errorf("an empty state: %v", err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "other": []byte("a text"), "cut": image.Bytes()[:image.Len()/2],
		"changed": append(bytes.Clone(image.Bytes()[:100]), append([]byte{0xff}, image.Bytes()[101:]...)...),
	} {
		if _, err := NewOrigin(bad, time.Time{}); err == nil {
			t.Errorf("%s was taken for a state", name)
		}
	}
}
