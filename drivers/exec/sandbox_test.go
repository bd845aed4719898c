//go:build linux

package exec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/exec"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/drivers/supervise/keeper"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

const patience = 20 * time.Second

// world is a driver in this process.
type world struct {
	t      testing.TB
	driver drivers.Driver
	schema *drivers.Schema
}

func newWorld(t testing.TB, block map[string]any) *world {
	needRoot(t)
	d := exec.New(logx.Discard())
	schema, err := d.Schema(t.Context())
	must(t, err)
	encoded, err := config.Encode(schema.Plugin, block, nil)
	must(t, err)
	must(t, d.Configure(t.Context(), encoded, nil))
	group := loop.New(context.Background())
	group.Go("service", d.(drivers.Service).Run)
	t.Cleanup(func() { group.Stop(); _ = group.Wait() })
	return &world{t: t, driver: d, schema: schema}
}

// task has the directories that the client makes.
func (w *world) task(block map[string]any) *drivers.TaskConfig {
	w.t.Helper()
	encoded, err := config.Encode(w.schema.Task, block, nil)
	must(w.t, err)
	dir := w.t.TempDir()
	must(w.t, os.Chmod(filepath.Dir(dir), 0o755))
	must(w.t, os.Chmod(dir, 0o755))
	task := &drivers.TaskConfig{
		ID: ids.New() + "/web/" + ids.New()[:8], Name: "web", AllocDir: dir, Config: encoded,
		Env: map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin"}, Logs: &drivers.LogPolicy{MaxFiles: 2, MaxFileSizeMB: 1},
		Resources: &drivers.Resources{Linux: drivers.LinuxResources{CPUShares: 100, MemoryLimitBytes: 64 << 20}},
	}
	for path, mode := range map[string]os.FileMode{
		task.LogDir(): 0o755, filepath.Join(dir, "alloc", "data"): 0o777, filepath.Join(task.TaskDir(), "local"): 0o777,
		filepath.Join(task.TaskDir(), "tmp"): 0o777, filepath.Join(task.TaskDir(), "secrets"): 0o700, filepath.Join(task.TaskDir(), "private"): 0o700,
	} {
		must(w.t, os.MkdirAll(path, 0o755))
		must(w.t, os.Chmod(path, mode))
	}
	return task
}

func (w *world) start(task *drivers.TaskConfig) *drivers.Handle {
	w.t.Helper()
	started, err := w.driver.Start(w.t.Context(), task)
	must(w.t, err)
	w.t.Cleanup(func() { _ = w.driver.Destroy(context.Background(), task.ID, true) })
	return started.Handle
}

func (w *world) wait(task *drivers.TaskConfig) *drivers.ExitResult {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	exit, err := w.driver.Wait(ctx, task.ID)
	must(w.t, err)
	return exit
}

// output runs a task to its end and returns what it printed.
func (w *world) output(task *drivers.TaskConfig) string {
	w.t.Helper()
	w.start(task)
	exit := w.wait(task)
	if !exit.Successful() {
		w.t.Errorf("exit = %+v, stderr: %s", exit, logOf(w.t, task, "stderr"))
	}
	return logOf(w.t, task, "stdout")
}

func logOf(t testing.TB, task *drivers.TaskConfig, stream string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(task.LogDir(), "web."+stream+".0"))
	must(t, err)
	return string(data)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func statusOf(t testing.TB, task *drivers.TaskConfig) *keeper.Status {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(task.TaskDir(), "private", "supervisor-*", keeper.StateName))
	if err != nil || len(found) != 1 {
		t.Fatalf("supervision directories: %v, %v", found, err)
	}
	data, err := os.ReadFile(found[0])
	must(t, err)
	var status keeper.Status
	must(t, json.Unmarshal(data, &status))
	return &status
}

func TestATaskSeesItsOwnWorldOnly(t *testing.T) {
	w := newWorld(t, nil)
	task := w.task(sh(`id -u; id -g; id -G; pwd; ls -d /*; ls /proc | grep '^[0-9]' | tr '\n' ' '; echo; ls -l /proc/self/fd | grep -c pipe
		ls /proc/1 2>/dev/null; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /etc/shadow; ls /alloc /dev`))
	got := w.output(task)
	if os.Getenv("SHOW") != "" {
		t.Log(got)
	}
	for _, want := range []string{"65534\n65534\n65534\n/\n", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "urandom"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in what the task sees:\n%s", want, got)
		}
	}
	for _, not := range []string{"/root", "/home", "/private", "supervisor", "root:"} {
		if strings.Contains(got, not) {
			t.Errorf("the task sees %q:\n%s", not, got)
		}
	}
}

func TestATaskWritesItsOwnFoldersAndNothingElse(t *testing.T) {
	w := newWorld(t, nil)
	task := w.task(sh(`cd /; for f in /alloc/data/x /local/x /secrets/x /tmp/x /dev/shm/x /x /etc/x /usr/x /alloc/logs/x /dev/x /proc/sys/kernel/hostname; do (echo hi > $f) 2>/dev/null && echo $f; done; true`))
	for _, user := range []string{"", "root"} {
		task.User = user
		task.ID = ids.New() + "/web/" + ids.New()[:8]
		must(t, os.RemoveAll(filepath.Join(task.LogDir(), "web.stdout.0")))
		want := "/alloc/data/x\n/local/x\n/secrets/x\n/tmp/x\n/dev/shm/x\n"
		if user == "root" {
			// Without capabilities root can't write what it doesn't own.
			want = "/alloc/data/x\n/local/x\n/secrets/x\n/tmp/x\n/dev/shm/x\n"
			for _, dir := range []string{"alloc/data", "web/local", "web/secrets", "web/tmp"} {
				must(t, os.Remove(filepath.Join(task.AllocDir, dir, "x")))
			}
		}
		if got := w.output(task); got != want {
			t.Errorf("as %q it could write\n%s, want\n%s", user, got, want)
		}
	}
}

func TestCommandsBesideATaskAreInTheSameSandbox(t *testing.T) {
	w := newWorld(t, nil)
	task := w.task(sh("exec sleep 300"))
	w.start(task)
	const look = `for n in mnt pid ipc uts cgroup net; do readlink /proc/self/ns/$n; done; grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups)' /proc/self/status; ls /proc/self/fd | wc -l; cat /proc/self/cgroup`
	inside, err := w.driver.Exec(t.Context(), task.ID, shell(look), patience)
	must(t, err)
	other := w.task(sh("%s", look))
	want := w.output(other)
	// Each has namespaces of its own; all else is equal.
	strip := func(s string) string {
		var out []string
		for _, line := range strings.Split(s, "\n") {
			if !strings.Contains(line, ":[") && !strings.Contains(line, "CapInh") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "\n")
	}
	if strip(string(inside.Stdout)) != strip(want) {
		t.Errorf("a command beside the task sees\n%s%s, a task\n%s", inside.Stdout, inside.Stderr, want)
	}
	status := statusOf(t, task)
	for _, ns := range []string{"mnt", "pid", "ipc", "uts", "cgroup"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", status.Task.PID, ns))
		must(t, err)
		if !strings.Contains(string(inside.Stdout), link) {
			t.Errorf("the command isn't in %s:\n%s", link, inside.Stdout)
		}
	}
}

func TestKilledSupervisorTakesAllOfItsTaskAlong(t *testing.T) {
	w := newWorld(t, nil)
	task := w.task(sh("setsid sleep 304 & (setsid sleep 305 &); echo ready; sleep 306"))
	h := w.start(task)
	status := statusOf(t, task)
	testx.Eventually(t, patience, "it runs", func() bool { return logOf(t, task, "stdout") == "ready\n" })
	must(t, status.Supervisor.Signal(syscall.SIGKILL))
	testx.Eventually(t, patience, "all are dead", func() bool {
		data, err := os.ReadFile(filepath.Join(status.Cgroup, "cgroup.procs"))
		return !status.Task.Alive() && (err != nil || len(data) == 0)
	})
	other := newWorld(t, nil)
	if err := other.driver.Recover(t.Context(), h); err == nil {
		t.Error("a lost task is recovered")
	}
	for _, dir := range append(status.Groups, status.Cgroup) {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

func TestATaskIsHeldToItsLimits(t *testing.T) {
	w := newWorld(t, map[string]any{"pids_limit": 20})
	task := w.task(sh(`i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; echo all; wait`))
	w.start(task)
	exit := w.wait(task)
	if exit.Successful() || strings.Contains(logOf(t, task, "stdout"), "all") {
		t.Errorf("40 processes run within a limit of 20: %+v", exit)
	}
	eater := w.task(sh(`head -c 200000000 /dev/zero | tail`))
	w.start(eater)
	if exit := w.wait(eater); !exit.OOMKilled || exit.Successful() {
		t.Errorf("200 MB in 64 MiB: %+v", exit)
	}
	for _, dir := range statusOf(t, eater).Groups {
		testx.Eventually(t, patience, dir+" is removed", func() bool {
			_, err := os.Stat(dir)
			return errors.Is(err, os.ErrNotExist)
		})
	}
}

func TestResolversAreThoseOfTheNetwork(t *testing.T) {
	w := newWorld(t, nil)
	task := w.task(sh("cat /etc/resolv.conf"))
	task.DNS = &structs.DNSConfig{Servers: []string{"192.0.2.53"}, Searches: []string{"example.org"}, Options: []string{"ndots:2"}}
	if got, want := w.output(task), "search example.org\nnameserver 192.0.2.53\noptions ndots:2\n"; got != want {
		t.Errorf("resolv.conf is %q, want %q", got, want)
	}
}

func TestVolumesAndDevicesAreShown(t *testing.T) {
	w := newWorld(t, nil)
	task := w.task(sh(`cat /data/file; (echo x > /data/new) 2>/dev/null && echo written; head -c 3 /dev/mine | wc -c; (echo x > /dev/mine) 2>/dev/null && echo device written; (echo y > /writable/y) && echo ok`))
	ro, rw := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(ro, "file"), []byte("data\n"), 0o644))
	must(t, os.Chmod(ro, 0o777))
	must(t, os.Chmod(rw, 0o777))
	task.Mounts = []drivers.Mount{{TaskPath: "/data", HostPath: ro, ReadOnly: true}, {TaskPath: "writable", HostPath: rw}}
	task.Devices = []drivers.Device{{TaskPath: "/dev/mine", HostPath: "/dev/zero", Permissions: "r"}}
	if got, want := w.output(task), "data\n3\nok\n"; got != want {
		t.Errorf("the task says %q, want %q", got, want)
	}
}

func TestARootOfTheTasksOwn(t *testing.T) {
	w := newWorld(t, nil)
	block := map[string]any{"command": "/bin/busybox", "args": []any{"sh", "-c", "/bin/busybox ls /; echo hi > /etc/written && /bin/busybox cat /etc/written /marker"}, "rootfs": "local/image"}
	task := w.task(block)
	busybox, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	image := filepath.Join(task.TaskDir(), "local", "image")
	for _, dir := range []string{"bin", "etc"} {
		must(t, os.MkdirAll(filepath.Join(image, dir), 0o777))
		must(t, os.Chmod(filepath.Join(image, dir), 0o777))
	}
	must(t, os.WriteFile(filepath.Join(image, "bin", "busybox"), busybox, 0o755))
	must(t, os.WriteFile(filepath.Join(image, "marker"), []byte("mine\n"), 0o644))
	got := w.output(task)
	if !strings.HasSuffix(got, "hi\nmine\n") || strings.Contains(got, "usr") || !strings.Contains(got, "proc") {
		t.Errorf("the task says\n%s", got)
	}
	must(t, os.Rename(image, image+".real"))
	must(t, os.Symlink("/", image))
	escaping := w.task(block)
	escaping.AllocDir = task.AllocDir
	if _, err := w.driver.Start(t.Context(), escaping); err == nil || !strings.Contains(err.Error(), "rootfs") {
		t.Errorf("a link as root: %v", err)
	}
}

func TestBadTasksSayWhatToDo(t *testing.T) {
	w := newWorld(t, map[string]any{"allow_caps": []any{"kill"}, "denied_host_uids": "1-10"})
	for want, block := range map[string]map[string]any{
		"is not found":           {"command": "no-such-program-anywhere"},
		"does not exist":         {"command": "/no/such/program"},
		"is a directory":         {"command": "/etc"},
		"is not executable":      {"command": "/etc/passwd"},
		"must be an absolute":    {"command": "true", "work_dir": "here"},
		"can't be entered":       {"command": "true", "work_dir": "/no/such/dir"},
		"must be private or":     {"command": "true", "pid_mode": "shared"},
		"below the task's":       {"command": "true", "rootfs": "../other"},
		"is not allowed on this": {"command": "true", "cap_add": []any{"sys_admin"}},
		"is no capability":       {"command": "true", "cap_add": []any{"everything"}},
		"command is empty":       {"command": ""},
	} {
		_, err := w.driver.Start(t.Context(), w.task(block))
		if err == nil || !strings.Contains(err.Error(), want) || drivers.IsRecoverable(err) {
			t.Errorf("%v: %v, want %q", block, err, want)
		}
	}
	task := w.task(sh("true"))
	task.User = "daemon"
	if _, err := w.driver.Start(t.Context(), task); err == nil || !strings.Contains(err.Error(), "denied_host_uids") {
		t.Errorf("a denied user: %v", err)
	}
}

func TestCapabilitiesAreThoseThatAreAskedForAndAllowed(t *testing.T) {
	w := newWorld(t, nil)
	block := sh(`grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status`)
	block["cap_add"] = []any{"CAP_NET_BIND_SERVICE", "chown", "mknod"}
	block["cap_drop"] = []any{"chown"}
	want := "CapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000000400\nCapAmb:\t0000000000000400\n"
	for _, user := range []string{"", "root"} {
		task := w.task(block)
		task.User = user
		if got := w.output(task); got != want {
			t.Errorf("as %q:\n%s, want\n%s", user, got, want)
		}
	}
}

func TestModesOfTheHostAreHost(t *testing.T) {
	w := newWorld(t, nil)
	block := sh(`readlink /proc/self/ns/pid /proc/self/ns/ipc`)
	block["pid_mode"], block["ipc_mode"] = "host", "host"
	var want string
	for _, ns := range []string{"pid", "ipc"} {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		must(t, err)
		want += link + "\n"
	}
	if got := w.output(w.task(block)); got != want {
		t.Errorf("namespaces are %q, want %q", got, want)
	}
}
