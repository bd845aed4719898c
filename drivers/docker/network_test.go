//go:build linux

package docker_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

func TestTasksOfAGroupShareItsNetwork(t *testing.T) {
	w := newWorld(t, pluginBlock())
	forgetHolder(t, w)
	alloc := ids.New()
	made, created, err := w.driver.CreateNetwork(t.Context(), alloc, "box")
	if err != nil || !created || made.Path == "" {
		t.Fatalf("network = %+v, %v, %v", made, created, err)
	}
	t.Cleanup(func() { _ = w.driver.DestroyNetwork(context.Background(), alloc, made) })
	if _, err := os.Stat(made.Path); err != nil {
		t.Errorf("the namespace isn't where the network says: %v", err)
	}
	again, created, err := w.driver.CreateNetwork(t.Context(), alloc, "box")
	if err != nil || created || again.Path != made.Path {
		t.Errorf("asked for again: %+v, %v, %v", again, created, err)
	}
	server := w.task(sh("busybox mkdir -p /tmp/www; echo shared > /tmp/www/index.html; echo up; busybox httpd -f -p 127.0.0.1:8080 -h /tmp/www"))
	block := sh("hostname; busybox wget -q -O - http://127.0.0.1:8080/; cat /etc/resolv.conf /etc/hosts")
	block["extra_hosts"], block["ports"] = []any{"db:10.1.2.3"}, []any{"http"}
	asker := w.task(block)
	asker.DNS = &structs.DNSConfig{Servers: []string{"10.9.9.9"}, Searches: []string{"a.example"}}
	asker.Resources.Ports = []structs.PortMapping{{Label: "http", Value: 20000, To: 8080}}
	network := *made
	network.Hosts = &drivers.HostsConfig{Hostname: "box", Address: "172.26.64.9"}
	server.Network, asker.Network = &network, &network
	if h := w.start(server); h.Network != nil {
		t.Errorf("the driver says another address than the group's: %+v", h.Network)
	}
	waitFor(t, server, "up\n")
	got := w.output(asker)
	for _, want := range []string{"box\nshared\n", "nameserver 10.9.9.9\n", "search a.example\n", "10.1.2.3\tdb\n", "172.26.64.9\tbox\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("it printed\n%swithout %q", got, want)
		}
	}
	for want, change := range map[string]map[string]any{
		"network_mode can't": {"network_mode": "host"}, "mac_address can't": {"mac_address": "02:42:0a:d5:07:99"}, "host-gateway": {"extra_hosts": []any{"x:host-gateway"}},
	} {
		task := w.task(with(change))
		task.Network = &network
		if _, err := w.driver.Start(t.Context(), task); err == nil || drivers.IsRecoverable(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", change, err, want)
		}
	}
	foreign := w.task(with(nil))
	foreign.Network = &drivers.NetworkIsolation{Mode: drivers.NetworkGroup, Path: "/run/netns/x"}
	if _, err := w.driver.Start(t.Context(), foreign); err == nil || !strings.Contains(err.Error(), "another driver") {
		t.Errorf("a network of another driver: %v", err)
	}
	if err := w.driver.Destroy(t.Context(), server.ID, true); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := w.driver.DestroyNetwork(t.Context(), alloc, made); err != nil {
			t.Errorf("destroyed: %v", err)
		}
	}
	// The engine leaves the file for a minute, but nothing is mounted there.
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), made.Path+" ") {
		t.Errorf("the namespace is left: %v", err)
	}
	late := w.task(with(nil))
	late.Network = &network
	if _, err := w.driver.Start(t.Context(), late); err == nil || drivers.IsRecoverable(err) || !strings.Contains(err.Error(), "network is gone") {
		t.Errorf("a start in a network that is gone: %v", err)
	}
}

func TestANetworkIsMadeAnewAfterItsContainerHasEnded(t *testing.T) {
	w := newWorld(t, pluginBlock())
	forgetHolder(t, w)
	alloc := ids.New()
	made, _, err := w.driver.CreateNetwork(t.Context(), alloc, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.driver.DestroyNetwork(context.Background(), alloc, made) })
	if _, err := w.engine.ContainerKill(t.Context(), made.Labels["docker_sandbox_container_id"], client.ContainerKillOptions{}); err != nil {
		t.Fatal(err)
	}
	again, created, err := w.driver.CreateNetwork(t.Context(), alloc, "")
	if err != nil || !created || again.Labels["docker_sandbox_container_id"] == made.Labels["docker_sandbox_container_id"] {
		t.Errorf("network = %+v, %v, %v", again, created, err)
	}
}

func TestTheNodesOwnImageHoldsNetworks(t *testing.T) {
	engine := needEngine(t)
	r := newRegistry(t, engine)
	block := pluginBlock()
	block["infra_image"] = r.image()
	w := newWorld(t, block)
	// The test's image ends at once, so it is downloaded, and then of no use.
	_, _, err := w.driver.CreateNetwork(t.Context(), ids.New(), "")
	if err == nil || r.count("/v2/team/web/manifests/1") == 0 {
		t.Errorf("infra_image wasn't asked for: %v", err)
	}
}

// forgetHolder takes the image away that the driver has made, unless it is in use.
func forgetHolder(t *testing.T, w *world) {
	t.Cleanup(func() {
		_, _ = w.engine.ImageRemove(context.Background(), "steppe-pause:1", client.ImageRemoveOptions{})
	})
}

func waitFor(t *testing.T, task *drivers.TaskConfig, text string) {
	t.Helper()
	testx.Eventually(t, patience, "it printed "+text, func() bool { return strings.Contains(readLog(t, task, "stdout"), text) })
}
