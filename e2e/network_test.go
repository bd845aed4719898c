package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/hashicorp/nomad/api"
	"github.com/vishvananda/netlink"

	"github.com/steppe-run/steppe/internal/testx"
)

// confinedEnv says that this process has network and mounts of its own.
const confinedEnv = "STEPPE_E2E_CONFINED"

// confined runs the test that calls it in a process with a network and mounts
// of its own, so that the machine's aren't touched. It reports whether the test
// is over with that.
func confined(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces take root")
	}
	if os.Getenv(confinedEnv) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), confinedEnv+"="+binary)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			t.Error("it failed in its own network")
		case err != nil:
			t.Skip("no network namespaces here:", err)
		}
		return true
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	return false
}

const onLoopback = `
server {
  enabled          = true
  bootstrap_expect = 1
}
client {
  enabled                  = true
  network_interface        = "lo"
  gc_disk_usage_threshold  = 100
  gc_inode_usage_threshold = 100
}
`

// bridgeJob runs the demo service in networks of its own.
func bridgeJob(id string, count int) *api.Job {
	job := demoJob(id, count)
	group := job.TaskGroups[0]
	group.Networks = []*api.NetworkResource{{
		Mode: "bridge", Hostname: "${NOMAD_ALLOC_ID}", DynamicPorts: []api.Port{{Label: "http", To: 8080}},
	}}
	group.Services = append(group.Services, &api.Service{Name: id + "-inside", PortLabel: "http", AddressMode: "alloc", Provider: "nomad"})
	return job
}

// networksLeft lists what there is of networks on the machine.
func networksLeft(t *testing.T) []string {
	t.Helper()
	var out []string
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Type() == "veth" || l.Type() == "bridge" {
			out = append(out, l.Attrs().Name)
		}
	}
	spaces, err := filepath.Glob("/run/netns/*")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := (&nftables.Conn{}).ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if strings.HasPrefix(table.Name, "steppe") {
			out = append(out, table.Name)
		}
	}
	return append(out, spaces...)
}

func TestBridgeNetworksWorkAndOutliveTheAgent(t *testing.T) {
	if confined(t) {
		return
	}
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", onLoopback).start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, bridgeJob("web", 2))
	allocs := awaitRunning(t, a, "web", 2, 30*time.Second)
	awaitHealthy(t, a, "web", 30*time.Second)
	first, second := addressOf(t, a, allocs[0].ID), addressOf(t, a, allocs[1].ID)
	reached := func(addr string) bool {
		status, err := httpGet(addr + "/health")
		return err == nil && status == 200
	}
	if !reached(first) || !reached(second) {
		t.Errorf("mapped ports %s and %s aren't reached", first, second)
	}
	info, _, err := a.client().Allocations().Info(allocs[1].ID, nil)
	if err != nil || info.NetworkStatus == nil || !strings.HasPrefix(info.NetworkStatus.Address, "172.26.64.") {
		t.Fatalf("network status %+v %v", info.NetworkStatus, err)
	}
	services, _, err := a.client().Services().Get("web-inside", nil)
	if err != nil || len(services) != 2 || services[0].Port != 8080 || !strings.HasPrefix(services[0].Address, "172.26.64.") {
		t.Errorf("services with the address of their allocation: %v %+v", err, services)
	}
	// From one allocation to the other, and not to the agent.
	connects := func(host string, port int) bool {
		_, code := a.cli("alloc", "exec", allocs[0].ID, "timeout", "1", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", host, port))
		return code == 0
	}
	if !connects(info.NetworkStatus.Address, 8080) {
		t.Error("one allocation doesn't reach the other")
	}
	for _, host := range []string{a.host, "172.26.64.1"} {
		if connects(host, a.ports.http) {
			t.Errorf("an allocation reaches the agent at %s", host)
		}
	}
	a.kill()
	if !reached(first) {
		t.Error("without the agent the mapped port isn't reached")
	}
	// What ends while nobody looks is taken away later.
	flushRules(t)
	if reached(first) {
		t.Error("the packet rules were flushed, but the port is reached")
	}
	a.start()
	a.awaitLeader()
	a.awaitNodes(1)
	awaitRunning(t, a, "web", 2, 20*time.Second)
	testx.Eventually(t, 10*time.Second, "the port is reached again", func() bool { return reached(first) })
	if again, _, err := a.client().Allocations().Info(allocs[1].ID, nil); err != nil || again.NetworkStatus == nil || again.NetworkStatus.Address != info.NetworkStatus.Address {
		t.Errorf("after the restart: %v %+v", err, again.NetworkStatus)
	}
	flushRules(t)
	testx.Eventually(t, 10*time.Second, "flushed rules come back", func() bool { return reached(first) })
	if out, code := a.cli("job", "stop", "-purge", "-detach", "web"); code != 0 {
		t.Fatalf("job stop ended with %d: %s", code, out)
	}
	var left []string
	testx.Eventually(t, 30*time.Second, "nothing is left of the networks", func() bool {
		left = networksLeft(t)
		return len(left) == 0
	})
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

func TestADevelopmentAgentLeavesNoNetworks(t *testing.T) {
	if confined(t) {
		return
	}
	a := newAgent(t, t.TempDir(), "one", "127.0.0.1", "")
	a.args = []string{"-dev", "-data-dir", filepath.Join(a.dir, "data")}
	a.start()
	a.awaitLeader()
	a.awaitNodes(1)
	register(t, a, bridgeJob("web", 2))
	awaitRunning(t, a, "web", 2, 30*time.Second)
	if len(networksLeft(t)) == 0 {
		t.Error("there are no networks: the test would show nothing")
	}
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if left := networksLeft(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// flushRules takes all packet rules away, as a firewall's restart does.
func flushRules(t *testing.T) {
	t.Helper()
	c := &nftables.Conn{}
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}
