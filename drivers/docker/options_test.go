//go:build linux

package docker_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
)

// runs starts a task and returns what the engine made of it.
func (w *world) runs(task *drivers.TaskConfig) container.InspectResponse {
	w.t.Helper()
	w.start(task)
	c, err := w.engine.ContainerInspect(w.t.Context(), containerOf(w.t, w, task), client.ContainerInspectOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Container
}

// with is the block of a container that sleeps, and what else a test wants.
func with(more map[string]any) map[string]any {
	block := sh("trap 'exit 0' TERM; sleep 60 & wait")
	for k, v := range more {
		block[k] = v
	}
	return block
}

func TestKeysReachTheEngine(t *testing.T) {
	block := pluginBlock()
	block["extra_labels"] = []any{"job*", "short_alloc_id"}
	w := newWorld(t, block)
	task := w.task(with(map[string]any{
		"init": true, "tty": true, "interactive": true, "hostname": "box", "shm_size": 32 << 20, "pids_limit": 77, "oom_score_adj": 300,
		"cpu_hard_limit": true, "cpu_cfs_period": 50000, "cpuset_cpus": "0", "memory_hard_limit": 128, "group_add": []any{"1234"},
		"sysctl": map[string]any{"net.ipv4.ip_default_ttl": "70"}, "extra_hosts": []any{"db:10.1.2.3"}, "dns_servers": []any{"10.9.9.9"},
		"dns_search_domains": []any{"a.example"}, "dns_options": []any{"ndots:2"}, "runtime": "runc", "cgroupns": "private", "ipc_mode": "private",
		"logging": map[string]any{"type": "json-file", "config": []any{map[string]any{"labels": "x"}}}, "work_dir": "/tmp", "readonly_rootfs": true,
		"devices":  []any{map[string]any{"host_path": "/dev/zero", "container_path": "/dev/nothing", "cgroup_permissions": "r"}},
		"labels":   map[string]any{"mine": "yes", "run.steppe.task_id": "stolen"},
		"cap_drop": []any{"all"}, "cap_add": []any{"CAP_CHOWN"},
		"mounts": []any{
			map[string]any{"type": "tmpfs", "target": "/scratch", "tmpfs_options": map[string]any{"size": 1 << 20, "mode": 448}},
			map[string]any{"type": "volume", "target": "/vol", "volume_options": map[string]any{"no_copy": true, "labels": []any{map[string]any{"l": "v"}}}},
			map[string]any{"type": "bind", "source": "local", "target": "/mine", "readonly": true, "bind_options": map[string]any{"propagation": "rprivate"}},
		},
	}))
	task.JobID, task.JobName, task.TaskGroup = "job", "the job", "group"
	c := w.runs(task)
	h := c.HostConfig
	ok := func(what string, good bool) {
		t.Helper()
		if !good {
			t.Errorf("%s isn't as asked for: %+v / %+v", what, c.Config, h)
		}
	}
	ok("init", h.Init != nil && *h.Init)
	ok("terminal", c.Config.Tty && c.Config.OpenStdin)
	ok("hostname, work_dir", c.Config.Hostname == "box" && c.Config.WorkingDir == "/tmp" && h.ReadonlyRootfs)
	ok("limits", h.ShmSize == 32<<20 && *h.PidsLimit == 77 && h.OomScoreAdj == 300 && h.CPUPeriod == 50000 && h.CPUQuota > 0 && h.CpusetCpus == "0")
	ok("memory", h.Memory == 128<<20 && h.MemoryReservation == 64<<20 && h.MemorySwap == 128<<20)
	ok("groups, sysctl", slices.Equal(h.GroupAdd, []string{"1234"}) && h.Sysctls["net.ipv4.ip_default_ttl"] == "70")
	ok("names", slices.Equal(h.ExtraHosts, []string{"db:10.1.2.3"}) && len(h.DNS) == 1 && h.DNS[0].String() == "10.9.9.9" && h.DNSSearch[0] == "a.example" && h.DNSOptions[0] == "ndots:2")
	ok("runtime, namespaces", h.Runtime == "runc" && h.CgroupnsMode == "private" && h.IpcMode == "private")
	ok("logging", h.LogConfig.Type == "json-file" && h.LogConfig.Config["max-size"] == "2m" && h.LogConfig.Config["labels"] == "x")
	ok("devices", len(h.Devices) == 1 && h.Devices[0].PathInContainer == "/dev/nothing" && h.Devices[0].CgroupPermissions == "r")
	ok("capabilities", slices.Equal(h.CapAdd, []string{"CAP_CHOWN"}) && slices.Equal(h.CapDrop, []string{"ALL"}))
	ok("no_new_privileges", slices.Contains(h.SecurityOpt, "no-new-privileges=true"))
	labels := c.Config.Labels
	ok("labels", labels["mine"] == "yes" && labels["run.steppe.task_id"] == task.ID && labels["com.hashicorp.nomad.job_name"] == "the job" &&
		labels["com.hashicorp.nomad.short_alloc_id"] == task.AllocID[:8] && labels["com.hashicorp.nomad.task_group_name"] == "")
	ok("mounts", len(h.Mounts) == 3 && h.Mounts[0].TmpfsOptions.SizeBytes == 1<<20 && h.Mounts[1].VolumeOptions.NoCopy && h.Mounts[2].ReadOnly &&
		h.Mounts[2].BindOptions.Propagation == "rprivate")
	if staged, err := filepath.Glob(filepath.Join(task.TaskDir(), "private", "docker-mounts", "*")); err != nil || len(staged) != 0 {
		t.Errorf("what was mounted for the start is left: %v, %v", staged, err)
	}
}

func TestDefaultsAreTight(t *testing.T) {
	w := newWorld(t, pluginBlock())
	c := w.runs(w.task(with(nil)))
	h := c.HostConfig
	if *h.PidsLimit != 512 || h.Privileged || !slices.Contains(h.SecurityOpt, "no-new-privileges=true") || h.LogConfig.Config["max-size"] != "2m" {
		t.Errorf("host = %+v", h)
	}
	if slices.Contains(h.CapAdd, "CAP_NET_RAW") || !slices.Contains(h.CapAdd, "CAP_CHOWN") || !slices.Equal(h.CapDrop, []string{"ALL"}) {
		t.Errorf("capabilities = %v", h.CapAdd)
	}
	block := pluginBlock()
	block["no_new_privileges"], block["pids_limit"] = false, 100
	h = newWorld(t, block).runs(w.task(with(nil))).HostConfig
	if *h.PidsLimit != 100 || len(h.SecurityOpt) != 0 {
		t.Errorf("a node that says otherwise: %+v", h)
	}
}

func TestEntrypointCommandAndArguments(t *testing.T) {
	w := newWorld(t, pluginBlock())
	for want, block := range map[string]map[string]any{
		"a b\n": {"image": image, "entrypoint": []any{"echo"}, "command": "a", "args": []any{"b"}},
		"c d\n": {"image": image, "entrypoint": []any{"echo", "c"}, "args": []any{"d"}},
		"e\n":   {"image": image, "args": []any{"echo", "e"}},
	} {
		if got := w.output(w.task(block)); got != want {
			t.Errorf("%v printed %q, want %q", block, got, want)
		}
	}
	if _, err := w.driver.Start(t.Context(), w.task(map[string]any{"image": image})); err == nil || drivers.IsRecoverable(err) {
		t.Errorf("an image that says not what to run: %v", err)
	}
}

func TestNetworksOfTheUser(t *testing.T) {
	w := newWorld(t, pluginBlock())
	name := "steppe-test-" + fmt.Sprint(os.Getpid())
	if out, err := w.network(name); err != nil {
		t.Fatal(err, out)
	}
	t.Cleanup(func() { _, _ = w.engine.NetworkRemove(context.Background(), name, client.NetworkRemoveOptions{}) })
	task := w.task(with(map[string]any{
		"network_mode": name, "network_aliases": []any{"alias"}, "ipv4_address": "10.213.7.9", "mac_address": "02:42:0a:d5:07:99",
	}))
	h := w.start(task)
	if h.Network.Addr != "10.213.7.9" || !h.Network.AutoAdvertise {
		t.Errorf("network = %+v", h.Network)
	}
	c, err := w.engine.ContainerInspect(t.Context(), containerOf(t, w, task), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Container.NetworkSettings.Networks[name]; e == nil || !slices.Contains(e.Aliases, "alias") || e.MacAddress.String() != "02:42:0a:d5:07:99" {
		t.Errorf("endpoint = %+v", e)
	}
	if err := w.driver.Destroy(t.Context(), task.ID, true); err != nil {
		t.Error(err)
	}
	// A container of the same allocation shares its network.
	first := w.task(with(nil))
	w.start(first)
	second := w.task(with(map[string]any{"network_mode": "container:web-" + first.AllocID}))
	second.AllocID, second.Name = first.AllocID, "side"
	for _, dir := range []string{"local", "secrets"} {
		if err := os.MkdirAll(filepath.Join(second.TaskDir(), dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.start(second)
}

func (w *world) network(name string) (client.NetworkCreateResult, error) {
	return w.engine.NetworkCreate(w.t.Context(), name, client.NetworkCreateOptions{IPAM: subnet("10.213.7.0/24")})
}

func TestWhatLoosensNeedsTheNodesWill(t *testing.T) {
	w := newWorld(t, pluginBlock())
	raw := filepath.Join(t.TempDir(), "disk")
	if err := unix.Mknod(raw, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 200))); err != nil {
		t.Skipf("SKIPPED, device nodes can't be made here: %v", err)
	}
	for i, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"security_opt", []any{"seccomp=unconfined"}, "allow_security_opt"}, {"security_opt", []any{"apparmor:unconfined"}, "allow_security_opt"},
		{"security_opt", []any{"systempaths=unconfined"}, "allow_security_opt"}, {"security_opt", []any{"no-new-privileges=false"}, "allow_security_opt"},
		{"security_opt", []any{"label=disable"}, "allow_security_opt"}, {"security_opt", []any{`seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`}, "allow_security_opt"},
		{"security_opt", []any{"writable-cgroups=true"}, "allow_security_opt"}, {"devices", map[string]any{"host_path": raw}, "allow_devices"},
		{"devices", map[string]any{"host_path": "/dev/mem-absent"}, "no such file"}, {"devices", map[string]any{"host_path": "/etc/passwd"}, "allow_devices"},
		{"devices", map[string]any{"host_path": "/dev/null", "cgroup_permissions": "all"}, "some of rwm"},
		{"userns_mode", "host", "allowed_modes"}, {"uts_mode", "host", "allowed_modes"}, {"uts_mode", "mine", "unknown"}, {"pid_mode", "container:x", "allowed_modes"},
		{"network_mode", "container:somebody", "same allocation"}, {"ipc_mode", "container:x", "allowed_modes"}, {"cgroupns", "mine", "unknown"},
		{"isolation", "hyperv", "Windows"}, {"pids_limit", -1, "negative"}, {"extra_hosts", []any{"nonsense"}, "name:address"},
		{"network_aliases", []any{"a"}, "network of your own"}, {"ipv4_address", "10.0.0.1", "network of your own"}, {"mac_address", "zz", "mac_address"},
		{"volumes", []any{"../other/secrets:/x"}, "only the task's own"}, {"volumes", []any{"private:/x"}, "only the task's own"},
		{"volumes", []any{"local:/x:rshared"}, "refused"}, {"volumes", []any{"local:/x:evil"}, "unknown"}, {"volumes", []any{".:/x"}, "only the task's own"},
		{"volumes", []any{"..:/x"}, "only the task's own"}, {"volumes", []any{"../..:/x"}, "outside the alloc"}, {"volume_driver", "evil", ""},
		{"mount", map[string]any{"type": "bind", "target": "/x"}, "needs a source"},
		{"mount", map[string]any{"type": "bind", "target": "/x", "source": "local", "bind_options": map[string]any{"propagation": "rshared"}}, "refused"},
		{"mount", map[string]any{"type": "volume", "target": "/x", "volume_options": map[string]any{"driver_config": map[string]any{"name": "local",
			"options": []any{map[string]any{"type": "none", "o": "bind", "device": "/etc"}}}}}, "volume drivers"},
		{"oom_score_adj", 5000, "oom_score_adj"}, {"cap_add", []any{"sys_admin"}, "allow_caps"}, {"memory_hard_limit", 1, "memory_hard_limit"},
	} {
		task := w.task(with(map[string]any{c.key: c.value}))
		if c.key == "volume_driver" {
			task = w.task(with(map[string]any{c.key: c.value, "volumes": []any{"v:/x"}}))
		}
		if err := os.MkdirAll(filepath.Join(task.AllocDir, "other", "secrets"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := w.driver.Start(t.Context(), task)
		if err == nil || !strings.Contains(err.Error(), c.want) || drivers.IsRecoverable(err) {
			t.Errorf("%d: %s = %v: %v, want %q", i, c.key, c.value, err, c.want)
			_ = w.driver.Destroy(t.Context(), task.ID, true)
		}
	}
}

func TestATrustingNodeGivesWhatItNames(t *testing.T) {
	block := pluginBlock()
	block["allow_security_opt"], block["allow_devices"] = []any{"seccomp=*", "systempaths=unconfined"}, []any{"/dev/loop*"}
	block["allowed_modes"] = map[string]any{"uts": []any{"host"}, "ipc": []any{"host"}}
	block["pids_limit"] = 50
	w := newWorld(t, block)
	task := w.task(with(map[string]any{"security_opt": []any{"seccomp=local/profile.json", "systempaths=unconfined"}, "uts_mode": "host", "ipc_mode": "host"}))
	if err := os.WriteFile(filepath.Join(task.TaskDir(), "local", "profile.json"), []byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	h := w.runs(task).HostConfig
	if !slices.Contains(h.SecurityOpt, `seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`) || len(h.MaskedPaths) != 0 || h.UTSMode != "host" || h.IpcMode != "host" {
		t.Errorf("host = %+v", h)
	}
	for want, change := range map[string]map[string]any{
		"above this node's 50": {"pids_limit": 51}, "only files of the task's": {"security_opt": []any{"seccomp=/etc/passwd"}},
		"escapes": {"security_opt": []any{"seccomp=../../../etc/passwd"}}, "pid_mode": {"pid_mode": "host"},
	} {
		if _, err := w.driver.Start(t.Context(), w.task(with(change))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", change, err, want)
		}
	}
}

func subnet(cidr string) *network.IPAM {
	return &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix(cidr)}}}
}
