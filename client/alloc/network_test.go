package alloc

import (
	"slices"
	"strings"
	"testing"

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

func TestNetworksThatNobodyMakesAreRefused(t *testing.T) {
	for _, c := range []struct {
		mode  string
		modes []drivers.NetworkMode
		want  string
	}{
		{"bridge", nil, `network mode "bridge" is not built yet`},
		{"none", nil, `network mode "none" is not built yet`},
		{"bridge", []drivers.NetworkMode{drivers.NetworkNone}, "makes networks, but none of this mode"},
		{"cni/mine", []drivers.NetworkMode{drivers.NetworkTask}, "makes networks, but none of this mode"},
	} {
		w := newWorld(t)
		w.driver.MakeNetworks(c.modes...)
		r := w.start(w.networked(c.mode), nil)
		events := w.status(r, "failed").TaskStates["web"].Events
		if !slices.ContainsFunc(events, func(e *structs.TaskEvent) bool { return strings.Contains(e.DisplayMessage, c.want) }) {
			t.Errorf("mode %s: no event says %q", c.mode, c.want)
		}
		if len(w.driver.Starts()) != 0 || len(w.driver.Networks()) != 0 {
			t.Errorf("mode %s: something was made", c.mode)
		}
	}
}
