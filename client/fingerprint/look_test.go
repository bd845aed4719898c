package fingerprint

import (
	"os"
	"path/filepath"
	"slices"
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

// files writes the kernel's files of another machine.
func files(t *testing.T, all map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range all {
		path := filepath.Join(root, "sys", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTwoKindsOfCoresAreToldApart(t *testing.T) {
	const cpu = "devices/system/cpu/"
	root := files(t, map[string]string{
		cpu + "online": "0-3", "devices/cpu_atom/cpus": "2-3",
		cpu + "cpu0/cpufreq/base_frequency": "3000000", cpu + "cpu1/cpufreq/base_frequency": "3000000",
		cpu + "cpu2/cpufreq/cpuinfo_max_freq": "2000000", cpu + "cpu3/cpufreq/base_frequency": "2000000",
		"devices/system/node/node0/cpulist": "0-3",
	})
	facts, _ := Look(t.Context(), Options{Root: root, AllocDir: t.TempDir(), Loopback: true, ReservedCores: []uint16{0}, ReservableCores: []uint16{0, 1, 2}, ReservedMHz: 500})
	for key, want := range map[string]string{
		"cpu.numcores": "4", "cpu.numcores.performance": "2", "cpu.numcores.efficiency": "2",
		"cpu.frequency.performance": "3000", "cpu.frequency.efficiency": "2000", "cpu.frequency": "",
		"cpu.totalcompute": "10000", "cpu.reservablecores": "2", "cpu.usablecompute": "4500",
		"numa.node.count": "1", "numa.node0.cores": "0-3",
	} {
		if got := facts.Attributes[key]; got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	n := &structs.Node{}
	facts.Fill(n)
	if got := n.NodeResources.Cpu; !slices.Equal(got.ReservableCpuCores, []uint16{1, 2}) || got.TotalCpuCores != 4 || facts.WithheldMHz != 5000 {
		t.Errorf("processors are %+v, %d MHz are withheld", got, facts.WithheldMHz)
	}
}

func TestCoresOfSmallCapacityAreEfficient(t *testing.T) {
	const cpu = "devices/system/cpu/"
	root := files(t, map[string]string{
		cpu + "online": "0-2", cpu + "cpu0/cpu_capacity": "1024", cpu + "cpu1/cpu_capacity": "1000", cpu + "cpu2/cpu_capacity": "400",
	})
	if got := efficient(root); len(got) != 1 || !got[2] {
		t.Errorf("efficient are %v", got)
	}
}

func TestPartsCanBeRuledOut(t *testing.T) {
	facts, errs := Look(t.Context(), Options{AllocDir: t.TempDir(), Interface: "no-such-interface", Deny: []string{"network", "numa"}})
	if len(errs) != 0 || facts.Attributes["numa.node.count"] != "" || facts.Attributes["cpu.numcores"] == "" {
		t.Errorf("attributes %v, errors %v", facts.Attributes, errs)
	}
	facts, errs = Look(t.Context(), Options{AllocDir: t.TempDir(), Allow: []string{"memory", "arch"}})
	if len(errs) != 0 || len(facts.Attributes) != 2 {
		t.Errorf("attributes %v, errors %v", facts.Attributes, errs)
	}
}

func TestWhatIsFoundAgainChangesANode(t *testing.T) {
	n := &structs.Node{}
	facts, _ := Look(t.Context(), Options{AllocDir: t.TempDir(), Loopback: true})
	facts.Fill(n)
	again := Facts{Attributes: map[string]string{"unique.hostname": facts.Attributes["unique.hostname"]}, MemoryMB: facts.MemoryMB, Networks: facts.Networks}
	if again.Renew(n) {
		t.Error("the same again counts as a change")
	}
	cpu := n.NodeResources.Cpu.CpuShares
	later := Facts{Attributes: map[string]string{"unique.hostname": "other"}, MemoryMB: 7, Links: map[string]string{"gce": "1"}}
	if !later.Renew(n) || n.Attributes["unique.hostname"] != "other" || n.NodeResources.Memory.MemoryMB != 7 || *n.Resources.MemoryMB != 7 || n.Links["gce"] != "1" {
		t.Errorf("node is %+v", n)
	}
	if n.NodeResources.Cpu.CpuShares != cpu || len(n.NodeResources.Networks) == 0 || n.Attributes["cpu.arch"] == "" {
		t.Error("what wasn't found out again is gone")
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
