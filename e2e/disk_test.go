package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
)

// runsOnly is an agent that only runs tasks, for the servers of another.
func runsOnly(t *testing.T, server *agent, name, host string) *agent {
	t.Helper()
	return newAgent(t, server.home, name, host, fmt.Sprintf(`
client {
  enabled                  = true
  servers                  = ["%s:%d"]
  gc_disk_usage_threshold  = 100
  gc_inode_usage_threshold = 100
}
`, server.host, server.ports.rpc))
}

func (a *agent) allocPath(alloc string, parts ...string) string {
	return filepath.Join(append([]string{a.dir, "data", "alloc", alloc}, parts...)...)
}

func TestAnEphemeralDiskMovesWithItsAllocation(t *testing.T) {
	first := newAgent(t, t.TempDir(), "one", "127.0.0.1", everything).start()
	first.awaitLeader()
	second := runsOnly(t, first, "two", "127.0.0.2").start()
	first.awaitNodes(2)
	agents := map[string]*agent{"one": first, "two": second}
	job := sleepJob("db", 1)
	job.TaskGroups[0].EphemeralDisk = &api.EphemeralDisk{Migrate: ptr(true), SizeMB: ptr(110)}
	register(t, first, job)
	alloc := awaitRunning(t, first, "db", 1, 20*time.Second)[0]
	for name, text := range map[string]string{"alloc/data/rows": "one two", "sleep/local/cache": "cached", "alloc/tmp/left": "behind"} {
		if err := os.WriteFile(agents[alloc.NodeName].allocPath(alloc.ID, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // to and fro: from the agent with the server to the one without, and back
		alloc = moveAway(t, first, alloc)
		at := agents[alloc.NodeName]
		for name, want := range map[string]string{"alloc/data/rows": "one two", "sleep/local/cache": "cached"} {
			if text, err := os.ReadFile(at.allocPath(alloc.ID, name)); err != nil || string(text) != want {
				t.Errorf("on node %s, %s is %q (%v)", at.name, name, text, err)
			}
		}
		if _, err := os.Stat(at.allocPath(alloc.ID, "alloc/tmp/left")); err == nil {
			t.Error("what isn't the disk's has moved too")
		}
	}
	for _, token := range []string{"", "guessed"} {
		request, err := http.NewRequest(http.MethodGet, first.url()+"/v1/client/allocation/"+alloc.ID+"/snapshot?for="+alloc.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Nomad-Token", token)
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = reply.Body.Close() // only the status counts
		if reply.StatusCode != http.StatusForbidden {
			t.Errorf("a stranger who shows %q gets %d", token, reply.StatusCode)
		}
	}
}

// moveAway has an allocation replaced on another node, and returns the new one.
func moveAway(t *testing.T, a *agent, alloc *api.AllocationListStub) *api.AllocationListStub {
	t.Helper()
	if _, err := a.client().Nodes().ToggleEligibility(alloc.NodeID, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.client().Allocations().Stop(&api.Allocation{ID: alloc.ID}, nil); err != nil {
		t.Fatal(err)
	}
	var next *api.AllocationListStub
	testx.Eventually(t, 30*time.Second, "the replacement runs on the other node", func() bool {
		now := running(t, a, alloc.JobID)
		if len(now) != 1 || now[0].ID == alloc.ID || now[0].NodeID == alloc.NodeID {
			return false
		}
		next = now[0]
		return true
	})
	if _, err := a.client().Nodes().ToggleEligibility(alloc.NodeID, true, nil); err != nil {
		t.Fatal(err)
	}
	return next
}
