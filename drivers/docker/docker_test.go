//go:build linux

package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/drivers/docker"
	"github.com/steppe-run/steppe/drivers/drivertest"
	"github.com/steppe-run/steppe/drivers/plugin/config"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

const (
	patience = 60 * time.Second
	// image is made by the tests: no registry is asked.
	image = "steppe-driver-test:1"
)

func TestMain(m *testing.M) {
	os.Exit(drivertest.Main(m, map[string]func(*slog.Logger) drivers.Driver{docker.Name: docker.New}))
}

// archive writes an image archive that holds a static busybox.
var archive = sync.OnceValues(func() ([]byte, error) {
	layer, err := layerArchive("", "")
	if err != nil {
		return nil, err
	}
	return imageArchive(layer, image, nil)
})

// layerArchive is a layer with a static busybox, and one more file.
func layerArchive(extra, content string) ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, errors.New("busybox is not installed (package busybox-static)")
	}
	busybox, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, dir := range []string{"bin/", "tmp/", "etc/", "proc/", "dev/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
			return nil, err
		}
	}
	if err := addFile(w, "bin/busybox", 0o755, busybox); err != nil {
		return nil, err
	}
	for _, name := range []string{"sh", "sleep", "cat", "echo", "true", "stty", "test", "printf", "id", "ls", "httpd", "tail", "head", "hostname", "seq"} {
		if err := w.WriteHeader(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}); err != nil {
			return nil, err
		}
	}
	if extra != "" {
		if err := addFile(w, extra, 0o644, []byte(content)); err != nil {
			return nil, err
		}
	}
	err = errors.Join(addFile(w, "etc/passwd", 0o644, []byte("root:x:0:0::/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n")), w.Close())
	return layer.Bytes(), err
}

func addFile(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// imageConfig is the configuration of an image of one layer; more is added to
// what its containers are told.
func imageConfig(layer []byte, more map[string]any) ([]byte, error) {
	container := map[string]any{"Env": []string{"PATH=/bin"}}
	maps.Copy(container, more)
	return json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "2020-01-01T00:00:00Z", "config": container,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
}

func imageArchive(layer []byte, name string, more map[string]any) ([]byte, error) {
	configJSON, err := imageConfig(layer, more)
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err = errors.Join(addFile(w, "layer.tar", 0o644, layer), addFile(w, "config.json", 0o644, configJSON), addFile(w, "manifest.json", 0o644, manifest), w.Close())
	return out.Bytes(), err
}

// needEngine skips the test where no engine answers, and loads the image.
func needEngine(t *testing.T) *client.Client {
	t.Helper()
	engine, err := client.New(client.FromEnv)
	if err != nil {
		t.Skipf("SKIPPED, no Docker engine: %v", err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		t.Skipf("SKIPPED, no Docker engine answers (start dockerd, or set DOCKER_HOST): %v", err)
	}
	data, err := archive()
	if err != nil {
		t.Skipf("SKIPPED, no image for the tests: %v", err)
	}
	answer, err := engine.ImageLoad(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer)
	_ = answer.Close()
	return engine
}

func pluginBlock() map[string]any {
	return map[string]any{"gc": map[string]any{"image": false}}
}

// sh is the config block of a container that runs a shell script.
func sh(script string, args ...any) map[string]any {
	return map[string]any{"image": image, "command": "sh", "args": []any{"-c", fmt.Sprintf(script, args...)}}
}

func TestConformance(t *testing.T) {
	needEngine(t)
	shell := func(script string) []string { return []string{"sh", "-c", script} }
	h := drivertest.Harness{
		New: docker.New, Survives: true, TTY: true, Config: pluginBlock(), Env: map[string]string{"FOO": "bar"},
		MissingCommand: map[string]any{"image": image, "command": "/no/such/program"},
		Tasks: drivertest.Tasks{
			Forever: func() map[string]any { return sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done") },
			Exit: func(code int, after time.Duration) map[string]any {
				return sh("sleep %g; exit %d", after.Seconds(), code)
			},
			Print: func(stdout, stderr string) map[string]any {
				return sh("printf %%s '%s'; printf %%s '%s' >&2; sleep 300", stdout, stderr)
			},
			Stubborn: func() map[string]any { return sh("trap '' TERM; echo stubborn; while :; do sleep 1; done") },
		},
		Commands: drivertest.Commands{
			Echo: func(w string) []string { return []string{"echo", w} },
			Warn: func(w string) []string { return shell("echo " + w + " >&2") },
			Exit: func(code int) []string { return shell("exit " + strconv.Itoa(code)) },
			Cat:  []string{"cat"}, Sleep: []string{"sleep", "60"},
		},
	}
	drivertest.Run(t, h)
	drivertest.RunPlugin(t, h)
}

// world is a driver in this process.
type world struct {
	t      *testing.T
	engine *client.Client
	driver drivers.Driver
	schema *drivers.Schema
	stop   func()
}

func newWorld(t *testing.T, block map[string]any) *world {
	w := &world{t: t, engine: needEngine(t)}
	w.driver, w.schema, w.stop = open(t, block)
	t.Cleanup(w.stop)
	return w
}

func open(t *testing.T, block map[string]any) (drivers.Driver, *drivers.Schema, func()) {
	t.Helper()
	d := docker.New(logx.Discard())
	schema, err := d.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := config.Encode(schema.Plugin, block, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Configure(t.Context(), encoded, &drivers.NodeConfig{}); err != nil {
		t.Fatal(err)
	}
	group := loop.New(context.Background())
	group.Go("service", d.(drivers.Service).Run)
	return d, schema, func() {
		group.Stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func (w *world) task(block map[string]any) *drivers.TaskConfig {
	w.t.Helper()
	encoded, err := config.Encode(w.schema.Task, block, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	alloc := ids.New()
	task := &drivers.TaskConfig{
		ID: alloc + "/web/" + ids.New()[:8], Name: "web", AllocID: alloc, NodeID: "node", Config: encoded, AllocDir: w.t.TempDir(),
		Env: map[string]string{"FOO": "bar"}, Logs: &drivers.LogPolicy{MaxFiles: 3, MaxFileSizeMB: 1},
		Resources: &drivers.Resources{Linux: drivers.LinuxResources{CPUShares: 500, PercentTicks: 0.1, MemoryLimitBytes: 64 << 20}},
	}
	for _, dir := range []string{task.LogDir(), filepath.Join(task.TaskDir(), "local"), filepath.Join(task.TaskDir(), "secrets")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	return task
}

func (w *world) start(task *drivers.TaskConfig) *drivers.Started {
	w.t.Helper()
	started, err := w.driver.Start(w.t.Context(), task)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.driver.Destroy(context.Background(), task.ID, true) })
	return started
}

func (w *world) wait(task *drivers.TaskConfig) *drivers.ExitResult {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	exit, err := w.driver.Wait(ctx, task.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return exit
}

// output runs a task to its end and returns what it printed.
func (w *world) output(task *drivers.TaskConfig) string {
	w.t.Helper()
	w.start(task)
	w.wait(task)
	if err := w.driver.Destroy(w.t.Context(), task.ID, false); err != nil {
		w.t.Fatal(err)
	}
	return readLog(w.t, task, "stdout")
}

func readLog(t *testing.T, task *drivers.TaskConfig, stream string) string {
	t.Helper()
	var out strings.Builder
	for i := range 100 {
		data, err := os.ReadFile(filepath.Join(task.LogDir(), fmt.Sprintf("web.%s.%d", stream, i)))
		if err == nil {
			out.Write(data)
		}
	}
	return out.String()
}

func TestImageFromArchive(t *testing.T) {
	w := newWorld(t, pluginBlock())
	data, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	block := sh("echo loaded")
	block["load"] = "image.tar"
	task := w.task(block)
	if err := os.WriteFile(filepath.Join(task.TaskDir(), "local", "image.tar"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := w.output(task); got != "loaded\n" {
		t.Errorf("the container printed %q", got)
	}
	for path, want := range map[string]string{"missing.tar": "no such file", "../../alloc/logs/x": "escapes"} {
		block["load"] = path
		if _, err := w.driver.Start(t.Context(), w.task(block)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("load %q: %v, want %q", path, err, want)
		}
	}
	block["load"], block["image"] = "image.tar", "another:1"
	task = w.task(block)
	if err := os.WriteFile(filepath.Join(task.TaskDir(), "local", "image.tar"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.driver.Start(t.Context(), task); err == nil || !strings.Contains(err.Error(), "doesn't hold the image another:1") {
		t.Errorf("an archive without the image: %v", err)
	}
}

func TestMissingImageSaysSo(t *testing.T) {
	w := newWorld(t, pluginBlock())
	block := sh("true")
	block["image"] = "127.0.0.1:1/no/such/image:1"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.driver.Start(ctx, w.task(block)); err == nil || !strings.Contains(err.Error(), "failed to pull image 127.0.0.1:1/no/such/image:1") {
		t.Errorf("Start = %v", err)
	}
	block["image"] = "Not An Image"
	if _, err := w.driver.Start(ctx, w.task(block)); err == nil || drivers.IsRecoverable(err) {
		t.Errorf("a broken reference: %v", err)
	}
	seen := errors.New("seen")
	err := w.driver.Events(ctx, func(e *drivers.Event) error {
		if e.Message == "Downloading image" && e.Annotations["image"] == "127.0.0.1:1/no/such/image:1" && e.TaskName == "web" {
			return seen
		}
		return nil
	})
	if !errors.Is(err, seen) {
		t.Errorf("no event tells of the download: %v", err)
	}
}

func TestPublishedPort(t *testing.T) {
	w := newWorld(t, pluginBlock())
	port := testx.FreePort(t, "127.0.0.1")
	block := sh("mkdir -p /tmp/www 2>/dev/null; busybox mkdir -p /tmp/www; echo hello > /tmp/www/index.html; busybox httpd -f -p 8080 -h /tmp/www")
	block["ports"] = []any{"http"}
	task := w.task(block)
	task.Resources.Ports = []structs.PortMapping{{Label: "http", Value: port, To: 8080, HostIP: "127.0.0.1"}}
	h := w.start(task)
	if h.Network == nil || h.Network.Addr == "" || h.Network.PortMap["http"] != 8080 {
		t.Errorf("network = %+v", h.Network)
	}
	testx.Eventually(t, patience, "the published port answers", func() bool {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			return false
		}
		defer func() { _ = r.Body.Close() }()
		body, err := io.ReadAll(r.Body)
		return err == nil && string(body) == "hello\n"
	})
}

func TestOutOfMemoryIsTold(t *testing.T) {
	w := newWorld(t, pluginBlock())
	task := w.task(sh("x=a; while :; do x=$x$x$x$x; done"))
	task.Resources.Linux.MemoryLimitBytes = 16 << 20
	w.start(task)
	if exit := w.wait(task); !exit.OOMKilled || exit.ExitCode == 0 {
		t.Errorf("exit = %+v", exit)
	}
}

func TestLogsGoOnWhereTheyStopped(t *testing.T) {
	w := newWorld(t, pluginBlock())
	task := w.task(sh("i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); busybox usleep 10000; done; echo end"))
	handle := w.start(task).Handle
	testx.Eventually(t, patience, "some lines are there", func() bool { return strings.Contains(readLog(t, task, "stdout"), "line 20\n") })
	w.stop()
	between := readLog(t, task, "stdout")
	second, _, stop := open(t, pluginBlock())
	defer stop()
	testx.Eventually(t, patience, "the container prints unheard", func() bool {
		c, err := w.engine.ContainerInspect(t.Context(), containerID(t, w, task), client.ContainerInspectOptions{})
		return err == nil && !c.Container.State.Running
	})
	if got := readLog(t, task, "stdout"); got != between {
		t.Fatal("somebody writes logs although the driver is gone")
	}
	if err := second.Recover(t.Context(), handle); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Destroy(context.Background(), task.ID, true) }()
	testx.Eventually(t, patience, "the rest has arrived", func() bool { return strings.HasSuffix(readLog(t, task, "stdout"), "end\n") })
	var want strings.Builder
	for i := range 400 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	want.WriteString("end\n")
	if got := readLog(t, task, "stdout"); got != want.String() {
		t.Errorf("lines were lost or repeated: %d bytes, want %d", len(got), want.Len())
	}
}

// containerID finds the task's container by its label.
func containerID(t *testing.T, w *world, task *drivers.TaskConfig) string {
	t.Helper()
	list, err := w.engine.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", "run.steppe.task_id="+task.ID)})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("containers of the task: %v, %v", list.Items, err)
	}
	return list.Items[0].ID
}

func TestStartIsTakenOver(t *testing.T) {
	w := newWorld(t, pluginBlock())
	task := w.task(sh("sleep 300"))
	w.start(task)
	first := containerOf(t, w, task)
	second, _, stop := open(t, pluginBlock())
	defer stop()
	if _, err := second.Start(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	status, err := second.Inspect(t.Context(), task.ID)
	if err != nil || status.Attributes["container_id"] != first {
		t.Errorf("the same start, asked of the next process, runs %+v, %v", status, err)
	}
	// Another start of the same task finds the old container in its way.
	again := w.task(sh("sleep 301"))
	again.AllocID = task.AllocID
	w.start(again)
	if containerOf(t, w, again) == first {
		t.Error("another start runs in the old container")
	}
}

func TestRemovedContainer(t *testing.T) {
	w := newWorld(t, pluginBlock())
	task := w.task(sh("sleep 300"))
	handle := w.start(task).Handle
	if _, err := w.engine.ContainerRemove(t.Context(), containerOf(t, w, task), client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if exit, err := w.driver.Wait(ctx, task.ID); err == nil {
		t.Errorf("Wait for a removed container = %+v", exit)
	}
	other, _, stop := open(t, pluginBlock())
	defer stop()
	if err := other.Recover(ctx, handle); err == nil {
		t.Error("a removed container is recovered")
	}
	if err := w.driver.Destroy(ctx, task.ID, true); err != nil {
		t.Errorf("Destroy of a removed container: %v", err)
	}
}

// configure tries a plugin block.
func configure(t *testing.T, block map[string]any) error {
	t.Helper()
	d := docker.New(logx.Discard())
	schema, err := d.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := config.Encode(schema.Plugin, block, nil)
	if err != nil {
		return err
	}
	return d.Configure(t.Context(), encoded, nil)
}
