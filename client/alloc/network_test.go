package alloc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/steppe-run/steppe/client/network"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

// networked makes an allocation whose group asks for a network mode.
func (w *world) networked(mode string) *structs.Allocation {
	a := w.alloc("a1", "service", "web", "side")
	a.Job.TaskGroups[0].Networks = []*structs.NetworkResource{{Mode: mode, Hostname: "web.internal"}}
	return a
}

func TestDriverMakesTheNetwork(t *testing.T) {
	w := newWorld(t)
	w.driver.MakeNetworks(drivers.NetworkNone, drivers.NetworkGroup)
	r := w.start(w.networked("none"), nil)
	testx.Eventually(t, patience, "both run", func() bool { return len(w.driver.Running()) == 2 })
	for _, start := range w.driver.Starts() {
		if start.Network == nil || start.Network.Path != "/netns/a1" || start.Network.Hosts.Hostname != "web.internal" {
			t.Errorf("%s was started with network %+v", start.Name, start.Network)
		}
	}
	if s := w.status(r, "running").NetworkStatus; s == nil || s.Address != "172.26.0.2" {
		t.Errorf("network status %+v", s)
	}
	// The next agent asks for it again: the machine may have been restarted.
	w.stops["a1"]()
	again := w.start(w.memory.Alloc("a1").Alloc, w.memory.Alloc("a1"))
	testx.Eventually(t, patience, "it is taken back", func() bool { return slices.Contains(w.driver.Calls(), "recover web") })
	if len(w.driver.Networks()) != 1 || len(w.driver.Starts()) != 2 {
		t.Errorf("networks %v, %d starts", w.driver.Networks(), len(w.driver.Starts()))
	}
	if err := again.Update(stop(again.Alloc())); err != nil {
		t.Fatal(err)
	}
	w.status(again, "complete")
	<-again.Done()
	calls := w.driver.Calls()
	if len(w.driver.Networks()) != 0 || slices.Index(calls, "unnetwork a1") < slices.Index(calls, "destroy side") {
		t.Errorf("networks %v after %v", w.driver.Networks(), calls)
	}
	if m := w.memory.Alloc("a1"); m.NetworkDriver != "" {
		t.Errorf("still remembered: %+v", m)
	}
}

// networks makes networks in memory.
type networks struct {
	mu    sync.Mutex
	there map[string]network.Wanted
	err   error
}

func (n *networks) Make(_ context.Context, w network.Wanted) (*network.Made, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return nil, n.err
	}
	if n.there == nil {
		n.there = map[string]network.Wanted{}
	}
	n.there[w.AllocID] = w
	path := w.Path
	if path == "" {
		path = "/run/netns/" + w.AllocID
	}
	return &network.Made{
		Isolation: &drivers.NetworkIsolation{
			Mode: drivers.NetworkGroup, Path: path, Hosts: &drivers.HostsConfig{Hostname: w.Hostname, Address: "172.26.64.9"},
		},
		Status: &structs.AllocNetworkStatus{InterfaceName: "eth0", Address: "172.26.64.9"},
	}, nil
}

func (n *networks) Drop(_ context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.there, id)
	return nil
}

func (n *networks) wanted(id string) (network.Wanted, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w, ok := n.there[id]
	return w, ok
}

func TestANetworkIsMadeForDriversThatMakeNone(t *testing.T) {
	w := newWorld(t)
	made := &networks{}
	w.host.Networks = made
	w.driver.Joins(drivers.NetworkHost, drivers.NetworkGroup)
	a := w.networked("bridge")
	a.Job.TaskGroups[0].Networks[0].DNS = &structs.DNSConfig{Servers: []string{"10.0.0.53"}}
	a.AllocatedResources = &structs.AllocatedResources{Shared: structs.AllocatedSharedResources{
		Ports: []structs.PortMapping{{Label: "http", Value: 20000, To: 80, HostIP: "10.0.0.1"}},
	}}
	r := w.start(a, nil)
	testx.Eventually(t, patience, "both run", func() bool { return len(w.driver.Running()) == 2 })
	for _, start := range w.driver.Starts() {
		if start.Network == nil || start.Network.Path != "/run/netns/a1" || start.Network.Hosts.Hostname != "web.internal" {
			t.Errorf("%s was started with network %+v", start.Name, start.Network)
		}
		if start.Env["NOMAD_ALLOC_ADDR_http"] != "172.26.64.9:80" || start.Env["NOMAD_PORT_http"] != "80" || start.Env["NOMAD_HOST_PORT_http"] != "20000" {
			t.Errorf("%s was started with environment %v", start.Name, start.Env)
		}
		if start.DNS == nil || start.DNS.Servers[0] != "10.0.0.53" {
			t.Errorf("%s was started with dns %+v", start.Name, start.DNS)
		}
	}
	if s := w.status(r, "running").NetworkStatus; s == nil || s.Address != "172.26.64.9" || s.InterfaceName != "eth0" || s.DNS == nil {
		t.Errorf("network status %+v", s)
	}
	if got, ok := made.wanted("a1"); !ok || len(got.Ports) != 1 || got.Mode != "bridge" {
		t.Errorf("wanted was %+v", got)
	}
	// What the servers send later doesn't know the address yet.
	next := r.Alloc().Clone()
	next.NetworkStatus = nil
	if err := r.Update(next); err != nil {
		t.Fatal(err)
	}
	if r.Status().NetworkStatus == nil {
		t.Error("the address is forgotten")
	}
	if err := r.Update(stop(r.Alloc())); err != nil {
		t.Fatal(err)
	}
	w.status(r, "complete")
	<-r.Done()
	if _, ok := made.wanted("a1"); ok {
		t.Error("the network is left")
	}
}

func TestTheNamespaceOfADriverIsConnected(t *testing.T) {
	w := newWorld(t)
	made := &networks{}
	w.host.Networks = made
	w.driver.MakeNetworks(drivers.NetworkGroup)
	r := w.start(w.networked("bridge"), nil)
	if s := w.status(r, "running").NetworkStatus; s == nil || s.Address != "172.26.64.9" {
		t.Errorf("network status %+v", s)
	}
	if got, _ := made.wanted("a1"); got.Path != "/netns/a1" {
		t.Errorf("wanted was %+v", got)
	}
	for _, start := range w.driver.Starts() {
		if start.Network.Path != "/netns/a1" || start.Network.Hosts.Address != "172.26.64.9" {
			t.Errorf("%s was started with network %+v", start.Name, start.Network)
		}
	}
}

func TestNetworksThatCantBeMadeFailTheAllocation(t *testing.T) {
	for _, c := range []struct {
		mode  string
		joins []drivers.NetworkMode
		err   error
		want  string
	}{
		{"bridge", []drivers.NetworkMode{drivers.NetworkHost}, nil, "can't run a task in a network of its group"},
		{"none", nil, nil, "can't run a task in a network of its group"},
		{"cni/mine", []drivers.NetworkMode{drivers.NetworkTask}, nil, "can't run a task in a network of its group"},
		{"bridge", []drivers.NetworkMode{drivers.NetworkGroup}, errors.New("no addresses"), `network mode "bridge": no addresses`},
	} {
		w := newWorld(t)
		w.host.Networks = &networks{err: c.err}
		w.driver.Joins(c.joins...)
		r := w.start(w.networked(c.mode), nil)
		events := w.status(r, "failed").TaskStates["web"].Events
		if !slices.ContainsFunc(events, func(e *structs.TaskEvent) bool { return strings.Contains(e.DisplayMessage, c.want) }) {
			t.Errorf("mode %s: no event says %q", c.mode, c.want)
		}
		if len(w.driver.Starts()) != 0 {
			t.Errorf("mode %s: something was started", c.mode)
		}
	}
}
