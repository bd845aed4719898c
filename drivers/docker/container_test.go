//go:build linux

package docker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"golang.org/x/sys/unix"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/drivertest"
	"github.com/steppe-run/steppe/internal/testx"
)

func TestWhatTheContainerSees(t *testing.T) {
	w := newWorld(t, pluginBlock())
	block := sh(`echo $FOO; id -u; hostname; cat /data/f; ls -d /alloc /local /secrets; pwd; cat /tmpfs/f 2>/dev/null || echo none; echo x > /ro 2>/dev/null || echo readonly`)
	block["hostname"], block["work_dir"], block["readonly_rootfs"] = "box", "/tmp", true
	block["volumes"] = []any{"local/data:/data"}
	block["mount"] = []any{map[string]any{"type": "tmpfs", "target": "/tmpfs", "tmpfs_options": map[string]any{"size": 1 << 20}}}
	block["labels"] = map[string]any{"mine": "yes"}
	block["ulimit"] = map[string]any{"nofile": "100:200"}
	block["cap_add"], block["cap_drop"] = []any{"chown"}, []any{"mknod"}
	task := w.task(block)
	task.User = "web"
	if err := os.MkdirAll(filepath.Join(task.TaskDir(), "local", "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(task.TaskDir(), "local", "data", "f"), []byte("mounted\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start(task)
	id := containerOf(t, w, task)
	w.wait(task)
	c, err := w.engine.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host, labels := c.Container.HostConfig, c.Container.Config.Labels
	if labels["mine"] != "yes" || labels["com.hashicorp.nomad.alloc_id"] != task.AllocID {
		t.Errorf("labels = %v", labels)
	}
	if host.Memory != 64<<20 || host.CPUShares != 500 || strings.Contains(strings.Join(host.CapAdd, " "), "MKNOD") {
		t.Errorf("limits: memory %d, cpu %d, capabilities %v", host.Memory, host.CPUShares, host.CapAdd)
	}
	if len(host.Ulimits) != 1 || host.Ulimits[0].Soft != 100 || host.Ulimits[0].Hard != 200 {
		t.Errorf("ulimits = %v", host.Ulimits)
	}
	testx.Eventually(t, patience, "the output is there", func() bool { return strings.Contains(readLog(t, task, "stdout"), "readonly") })
	want := "bar\n1000\nbox\nmounted\n/alloc\n/local\n/secrets\n/tmp\nnone\nreadonly\n"
	if got := readLog(t, task, "stdout"); got != want {
		t.Errorf("the container printed\n%swant\n%s", got, want)
	}
}

func containerOf(t *testing.T, w *world, task *drivers.TaskConfig) string {
	t.Helper()
	status, err := w.driver.Inspect(t.Context(), task.ID)
	if err != nil {
		t.Fatal(err)
	}
	return status.Attributes["container_id"]
}

func TestWhatANodeRefuses(t *testing.T) {
	w := newWorld(t, pluginBlock())
	for want, change := range map[string]map[string]any{
		"allow_privileged":      {"privileged": true},
		"pid_mode":              {"pid_mode": "host"},
		"ipc_mode":              {"ipc_mode": "host"},
		"net_raw, sys_admin":    {"cap_add": []any{"NET_RAW", "CAP_SYS_ADMIN"}},
		"volumes { enabled":     {"volumes": []any{"/etc:/etc-of-host"}},
		"outside the alloc":     {"mount": map[string]any{"type": "bind", "source": "../../../../etc", "target": "/x"}},
		"must be source:target": {"volumes": []any{"nonsense"}},
		"type \"disk\"":         {"mount": map[string]any{"type": "disk", "target": "/x"}},
		"runtime \"evil\"":      {"runtime": "evil"},
		"port \"http\"":         {"ports": []any{"http"}},
		"not an address":        {"dns_servers": []any{"nowhere"}},
		"soft:hard":             {"ulimit": map[string]any{"nofile": "many"}},
	} {
		block := sh("true")
		for k, v := range change {
			block[k] = v
		}
		_, err := w.driver.Start(t.Context(), w.task(block))
		if err == nil || !strings.Contains(err.Error(), want) || drivers.IsRecoverable(err) {
			t.Errorf("%v: %v, want %q", change, err, want)
		}
	}
	link := sh("true")
	link["volumes"] = []any{"local/out:/x"}
	task := w.task(link)
	if err := os.Symlink("/etc", filepath.Join(task.TaskDir(), "local", "out")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.driver.Start(t.Context(), task); err == nil || !strings.Contains(err.Error(), "outside the allocation") {
		t.Errorf("a link out of the allocation is followed: %v", err)
	}
}

func TestTrustingNodeAllowsMore(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	effective := regexp.MustCompile(`CapEff:\s*([0-9a-f]+)`).FindSubmatch(status)
	if effective == nil {
		t.Fatal("the kernel doesn't tell this process's capabilities")
	}
	bits, err := strconv.ParseUint(string(effective[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	if bits&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		t.Skip("a privileged container needs CAP_SYS_RESOURCE, which root doesn't have on this machine")
	}
	trusting := newWorld(t, map[string]any{"gc": map[string]any{"image": false}, "allow_privileged": true, "volumes": map[string]any{"enabled": true}})
	block := sh("cat /host-etc/hostname >/dev/null && echo seen")
	block["privileged"], block["volumes"], block["pid_mode"] = true, []any{"/etc:/host-etc:ro"}, "host"
	if got := trusting.output(trusting.task(block)); got != "seen\n" {
		t.Errorf("on a trusting node the container printed %q", got)
	}
}

// Whoever gives a start up has the task destroyed, and is told that there is none if
// the driver doesn't know it yet.
func TestAStartThatIsGivenUpLastLeavesNoContainer(t *testing.T) {
	w := newWorld(t, pluginBlock())
	task := w.task(sh("sleep 300"))
	running := func() int {
		list, err := w.engine.ContainerList(t.Context(), client.ContainerListOptions{Filters: client.Filters{}.Add("label", "run.steppe.task_id="+task.ID)})
		if err != nil {
			t.Error(err)
		}
		return len(list.Items)
	}
	began := false
	ctx := drivertest.OverOnce(t.Context(), func() bool { began = began || running() > 0; return began })
	if _, err := w.driver.Start(ctx, task); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if _, err := w.driver.Inspect(t.Context(), task.ID); !errors.Is(err, drivers.ErrTaskNotFound) {
		t.Errorf("the driver knows it: %v", err)
	}
	if n := running(); !began || n != 0 {
		t.Errorf("it ran: %v, and %d containers of it run", began, n)
		_ = w.driver.Destroy(t.Context(), task.ID, true)
	}
}
