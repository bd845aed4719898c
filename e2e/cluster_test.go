package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/steppe-run/steppe/internal/testx"
)

// newCluster starts three agents on 127.0.0.1, .2 and .3, each a server and,
// if asked, a node.
func newCluster(t *testing.T, nodes bool) []*agent {
	t.Helper()
	home := t.TempDir()
	agents := make([]*agent, 3)
	join := ""
	for i := range agents {
		extra := fmt.Sprintf(`
server {
  enabled          = true
  bootstrap_expect = 3
  server_join {
    retry_join     = [%s]
    retry_interval = "1s"
  }
}
client {
  enabled                  = %v
  gc_disk_usage_threshold  = 100
  gc_inode_usage_threshold = 100
}
`, join, nodes)
		agents[i] = newAgent(t, home, fmt.Sprintf("s%d", i+1), fmt.Sprintf("127.0.0.%d", i+1), extra)
		join = fmt.Sprintf(`"127.0.0.1:%d"`, agents[0].ports.serf)
	}
	for _, a := range agents {
		a.start()
	}
	for _, a := range agents {
		a.awaitLeader()
	}
	if nodes {
		agents[0].awaitNodes(3)
	}
	return agents
}

func leaderOf(t *testing.T, agents []*agent) (leader *agent, others []*agent) {
	t.Helper()
	testx.Eventually(t, 20*time.Second, "one agent is the leader", func() bool {
		leader, others = nil, nil
		for _, a := range agents {
			if a.cmd == nil {
				continue
			}
			addr, err := a.client().Status().Leader()
			if err == nil && addr == fmt.Sprintf("%s:%d", a.host, a.ports.rpc) {
				leader = a
			} else {
				others = append(others, a)
			}
		}
		return leader != nil
	})
	return leader, others
}

func TestThreeServersSurviveTheLeader(t *testing.T) {
	agents := newCluster(t, true)
	for i, a := range agents {
		register(t, a, sleepJob(fmt.Sprintf("job%d", i), 2)) // through any server
	}
	for i := range agents {
		awaitRunning(t, agents[0], fmt.Sprintf("job%d", i), 2, 30*time.Second)
	}
	leader, others := leaderOf(t, agents)
	leader.kill()
	next, _ := leaderOf(t, others)
	for i := range agents {
		info, _, err := next.client().Jobs().Info(fmt.Sprintf("job%d", i), nil)
		if err != nil || *info.Stop {
			t.Errorf("job%d: %v", i, err)
		}
	}
	testx.Eventually(t, 20*time.Second, "writes resume", func() bool {
		_, _, err := others[0].client().Jobs().Register(sleepJob("after", 1), nil)
		return err == nil
	})
	awaitRunning(t, others[1], "after", 1, 30*time.Second)
	leader.start()
	leader.awaitLeader()
	testx.Eventually(t, 30*time.Second, "the server that was killed knows everything", func() bool {
		jobs, _, err := leader.client().Jobs().List(&api.QueryOptions{AllowStale: true})
		return err == nil && len(jobs) == 4
	})
}

func TestLostNodeIsReplaced(t *testing.T) {
	agents := newCluster(t, false)
	home := agents[0].home
	var nodes []*agent
	for i := range 3 {
		n := newAgent(t, home, fmt.Sprintf("n%d", i+1), fmt.Sprintf("127.0.0.%d", i+11), fmt.Sprintf(`
client {
  enabled = true
  servers = ["127.0.0.1:%d", "127.0.0.2:%d", "127.0.0.3:%d"]
  gc_disk_usage_threshold  = 100
  gc_inode_usage_threshold = 100
}
`, agents[0].ports.rpc, agents[1].ports.rpc, agents[2].ports.rpc))
		nodes = append(nodes, n.start())
	}
	agents[0].awaitNodes(3)
	register(t, agents[1], sleepJob("spread", 3))
	allocs := awaitRunning(t, agents[0], "spread", 3, 30*time.Second)
	victim := nodes[0]
	var lost []string
	for _, alloc := range allocs {
		if alloc.NodeName == victim.name {
			lost = append(lost, alloc.ID)
		}
	}
	if len(lost) == 0 {
		for _, n := range nodes[1:] {
			if allocs[0].NodeName == n.name {
				victim, lost = n, []string{allocs[0].ID}
			}
		}
	}
	victim.kill()
	testx.Eventually(t, 60*time.Second, "the lost allocations run elsewhere", func() bool {
		now := running(t, agents[0], "spread")
		for _, alloc := range now {
			if alloc.NodeName == victim.name {
				return false
			}
		}
		return len(now) == 3
	})
	for _, id := range lost {
		info, _, err := agents[0].client().Allocations().Info(id, nil)
		if err != nil || info.ClientStatus != api.AllocClientStatusLost {
			t.Errorf("allocation %s is %s, %v", id, info.ClientStatus, err)
		}
	}
	// Back again, the node ends what was replaced meanwhile.
	victim.start()
	agents[0].awaitNodes(3)
	for _, id := range lost {
		testx.Eventually(t, 30*time.Second, "the old copy ends", func() bool {
			return len(processes(t, "NOMAD_ALLOC_ID="+id, "/bin/sleep")) == 0
		})
	}
}

func TestUnhealthyMovesToAnotherNode(t *testing.T) {
	agents := newCluster(t, true)
	register(t, agents[0], demoJob("hello", 3))
	awaitHealthy(t, agents[0], "hello", 60*time.Second)
	allocs := awaitRunning(t, agents[0], "hello", 3, 10*time.Second)
	victim := allocs[0]
	// A busy machine may take its time over a request, or lose it with a task
	// that is just being restarted: it is asked for until it has an effect.
	sicken := func() { _, _ = httpGet(addressOf(t, agents[0], victim.ID) + "/unhealthy") }
	testx.Eventually(t, 60*time.Second, "check_restart restarts the task", func() bool {
		info, _, err := agents[0].client().Allocations().Info(victim.ID, nil)
		if err != nil {
			return false
		}
		if info.TaskStates["web"].Restarts == 0 {
			sicken()
		}
		return info.TaskStates["web"].Restarts == 1 && info.TaskStates["web"].State == "running"
	})
	testx.Eventually(t, 90*time.Second, "a replacement runs on another node", func() bool {
		info, _, err := agents[0].client().Allocations().Info(victim.ID, nil)
		if err != nil {
			return false
		}
		if info.ClientStatus == api.AllocClientStatusRunning {
			sicken()
		}
		if info.NextAllocation == "" {
			return false
		}
		next, _, err := agents[0].client().Allocations().Info(info.NextAllocation, nil)
		return err == nil && next.ClientStatus == "running" && next.NodeID != victim.NodeID
	})
	for _, other := range allocs[1:] {
		info, _, err := agents[0].client().Allocations().Info(other.ID, nil)
		if err != nil || info.ClientStatus != "running" || info.TaskStates["web"].Restarts != 0 {
			t.Errorf("allocation %s was touched: %v", other.ID, err)
		}
	}
}
