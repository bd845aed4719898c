package fingerprint

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLookFindsThisMachine(t *testing.T) {
	facts, errs := Look(t.Context(), Options{AllocDir: t.TempDir(), Loopback: true})
	for _, err := range errs {
		t.Error(err)
	}
	n := &structs.Node{}
	facts.Fill(n)
	for _, key := range []string{
		"cpu.arch", "cpu.numcores", "cpu.frequency", "cpu.totalcompute", "memory.totalbytes", "unique.storage.bytesfree",
		"unique.storage.bytestotal", "kernel.name", "kernel.version", "unique.hostname", "unique.network.ip-address", "os.name",
	} {
		if n.Attributes[key] == "" {
			t.Errorf("attribute %s is missing", key)
		}
	}
	if n.Attributes["unique.network.ip-address"] != "127.0.0.1" {
		t.Errorf("loopback has address %q", n.Attributes["unique.network.ip-address"])
	}
	if n.NodeResources.Cpu.CpuShares <= 0 || n.NodeResources.Memory.MemoryMB <= 0 || n.NodeResources.Disk.DiskMB <= 0 {
		t.Errorf("resources are %+v", n.NodeResources)
	}
}

func TestConfiguredValuesWin(t *testing.T) {
	facts, _ := Look(t.Context(), Options{AllocDir: t.TempDir(), Loopback: true, CPUTotalCompute: 1234, MemoryTotalMB: 77, DiskTotalMB: 55, ReservedMHz: 234})
	if facts.MHz != 1234 || facts.MemoryMB != 77 || facts.DiskMB != 55 {
		t.Errorf("got %d MHz, %d MB memory, %d MB disk", facts.MHz, facts.MemoryMB, facts.DiskMB)
	}
	if got := facts.Attributes["cpu.usablecompute"]; got != "1000" {
		t.Errorf("usable compute is %s", got)
	}
}

func TestUnknownInterfaceIsAnErrorAndNothingElse(t *testing.T) {
	facts, errs := Look(t.Context(), Options{AllocDir: t.TempDir(), Interface: "no-such-interface"})
	if len(errs) != 1 || facts.MHz == 0 {
		t.Errorf("errors %v, %d MHz", errs, facts.MHz)
	}
}

func TestDriverAttributesComeAndGo(t *testing.T) {
	n := &structs.Node{Attributes: map[string]string{}}
	now := time.Unix(1, 0)
	up := &drivers.Fingerprint{Health: drivers.Healthy, Attributes: map[string]string{"driver.docker.version": "20"}}
	if !Driver(n, "docker", up, now) || n.Attributes["driver.docker"] != "1" || n.Attributes["driver.docker.version"] != "20" {
		t.Fatalf("attributes %v", n.Attributes)
	}
	if Driver(n, "docker", up, now.Add(time.Minute)) {
		t.Error("the same again counts as a change")
	}
	if !Driver(n, "docker", &drivers.Fingerprint{Health: drivers.HealthUndetected}, now) || len(n.Attributes) != 0 {
		t.Errorf("attributes %v remain", n.Attributes)
	}
	broken := &drivers.Fingerprint{Err: "no answer"}
	if !Driver(n, "docker", broken, now) || n.Drivers["docker"].Healthy || n.Drivers["docker"].HealthDescription == "" {
		t.Errorf("driver info %+v", n.Drivers["docker"])
	}
}

func TestHostUUIDOutlivesTheBoot(t *testing.T) {
	id, err := HostUUID(t.Context())
	if err != nil {
		t.Logf("this host has none: %v", err) // a bare container
		return
	}
	boot, err := os.ReadFile(bootID)
	if err == nil && strings.TrimSpace(string(boot)) == id {
		t.Error("it is the id of this boot")
	}
	again, err := HostUUID(t.Context())
	if err != nil || again != id || len(id) != 36 {
		t.Errorf("first %q, then %q, %v", id, again, err)
	}
}
