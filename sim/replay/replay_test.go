package replay

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/steppe-run/steppe/internal/archive"
	"github.com/steppe-run/steppe/sim/cluster"
	"github.com/steppe-run/steppe/sim/story"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shop = `a cluster of 3 servers and 4 nodes of 4000 MHz and 4000 MB
job shop service count=4 cpu=1500 max_parallel=1 min_healthy=10s port=0 check=shop
job ended batch count=1 run_for=20s
job long batch count=1 run_for=5m
job all system cpu=10
expect shop deployment successful within 2m
wait 1m
node-4 dies
wait 2m`

// play plays a story and returns its end.
func play(t *testing.T, text string) *story.Result {
	t.Helper()
	s, err := story.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := story.Run(s, story.Options{})
	if err != nil || r.Broken() {
		t.Fatal(r, err)
	}
	return r
}

// saved is what a cluster has come to, as a file.
func saved(t *testing.T, text string) []byte {
	t.Helper()
	r := play(t, text)
	var out bytes.Buffer
	if err := Save(&out, r.Last, r.End); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// what is asked of a snapshot, and what comes of it.
func what(t *testing.T, snapshot []byte, steps string, wait time.Duration) (*Changes, *story.Result) {
	t.Helper()
	o, err := Read(bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	s, err := story.ParseSteps(steps)
	if err != nil {
		t.Fatal(err)
	}
	r, err := story.Run(s, story.Options{Origin: o, Wait: wait, Trace: t.Output()})
	if err != nil || r.Broken() {
		t.Fatal(r, err)
	}
	return Compare(o.Snapshot, r.Last, o.At, r.End), r
}

func (c *Changes) job(id string) Job {
	for _, j := range c.Jobs {
		if j.ID == id {
			return *j
		}
	}
	return Job{}
}

func TestASnapshotAtRestStaysAtRest(t *testing.T) {
	snapshot := saved(t, shop)
	if c, _ := what(t, snapshot, "", 30*time.Second); !c.None() {
		t.Errorf("left alone: %+v %+v", c.Jobs, c.Nodes)
	}
	// What was to end by itself still does, at its time.
	c, r := what(t, snapshot, "", 10*time.Minute)
	if len(c.Jobs) != 1 || c.job("long").Completed != 1 || len(c.Nodes) != 0 {
		t.Errorf("after ten minutes: %+v %+v", c.Jobs, c.Nodes)
	}
	for a := range r.Last.AllocsByJob("default", "long") {
		if ran := a.TaskStates["main"].FinishedAt.Sub(a.TaskStates["main"].StartedAt); ran != 5*time.Minute {
			t.Errorf("it ran for %s", ran)
		}
	}
}

func TestWhatBreaksIsTold(t *testing.T) {
	snapshot := saved(t, shop)
	c, _ := what(t, snapshot, "node-1 dies\nnode-2 dies", 5*time.Minute)
	s := c.job("shop")
	if s.RanBefore != 4 || s.Lost == 0 || s.Waiting == 0 || s.Run+s.Waiting != 4 || s.Placed != s.Moved || s.Stopped+s.Failed+s.Unknown != 0 {
		t.Errorf("two of three nodes die: %+v", s)
	}
	if j := c.job("all"); j.Lost != 2 || j.Run != 1 || j.Placed != 0 {
		t.Errorf("the system job: %+v", j)
	}
	if len(c.Nodes) != 2 || *c.Nodes[0] != (Node{"node-1", "ready", "down"}) {
		t.Errorf("nodes: %+v", c.Nodes)
	}
	c, _ = what(t, snapshot, "node-4 returns\nspare joins like node-1\nstop long\nwait 10s\nscale shop group g to 5", 2*time.Minute)
	if s := c.job("shop"); s.Run != 5 || s.Placed != 1 || s.Moved+s.Lost+s.Stopped != 0 {
		t.Errorf("scaled: %+v", s)
	}
	if j := c.job("long"); j.Stopped != 1 || j.Is != "stopped" {
		t.Errorf("stopped: %+v", j)
	}
	if j := c.job("all"); j.Run != 5 || j.Placed != 2 {
		t.Errorf("the system job on a node that is back and a new one: %+v", j)
	}
	if len(c.Nodes) != 2 || *c.Nodes[0] != (Node{"node-4", "down", "ready"}) || *c.Nodes[1] != (Node{"spare", "", "ready"}) {
		t.Errorf("nodes: %+v", c.Nodes)
	}
}

// TestWhatWasUnderWayGoesOn takes the snapshot in the middle of an update and a
// drain.
func TestWhatWasUnderWayGoesOn(t *testing.T) {
	snapshot := saved(t, `a cluster of 3 servers and 4 nodes of 4000 MHz and 4000 MB
job shop service count=4 cpu=100 max_parallel=1 min_healthy=10s image=a
expect shop deployment successful within 2m
job shop service count=4 cpu=100 max_parallel=1 min_healthy=10s image=b
drain node-1 within 10m
wait 15s`)
	c, r := what(t, snapshot, "expect shop version 1 on all within 5m\nexpect shop deployment successful within 1m", time.Minute)
	if j := c.job("shop"); j.Deployment != "successful" || j.Run != 4 || j.Lost != 0 {
		t.Errorf("the update: %+v", j)
	}
	for n := range r.Last.Nodes("") {
		if n.DrainStrategy != nil {
			t.Errorf("%s drains for ever", n.Name)
		}
	}
}

func TestAServersOwnSnapshotIsRead(t *testing.T) {
	r := play(t, shop)
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Last.Persist(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, f.Name()} {
		o, err := Open(path)
		if err != nil || o.Snapshot.StateHash() != r.Hash {
			t.Fatalf("%s: %v", path, err)
		}
		if o.At.After(r.End) || r.End.Sub(o.At) > 3*time.Minute || o.At.Before(cluster.Begin) {
			t.Errorf("it was so at %s; saved at %s", o.At, r.End)
		}
	}
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	whole := saved(t, "a cluster of 1 server and 1 node\nwait 5s")
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("job \"web\" {}\n"), "half": whole[:len(whole)/2],
		"changed": append(append(bytes.Clone(whole[:400]), whole[400]^1), whole[401:]...),
	} {
		if _, err := Read(bytes.NewReader(data)); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
