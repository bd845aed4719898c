//go:build linux

package docker_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/internal/testx"
)

// registry is an image registry of one image, which a test may hold up. The
// image is unlike that of any other registry.
type registry struct {
	addr     string
	manifest []byte
	blobs    map[string][]byte

	mu       sync.Mutex
	user     string // who may; empty: everybody
	password string
	asked    map[string]int
	gate     chan struct{} // blobs wait for it, if it is there
	stuck    bool          // half a blob, and then nothing more
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func newRegistry(t *testing.T, engine *client.Client) *registry {
	t.Helper()
	layer, err := layerArchive("etc/nonce", ids.New())
	if err != nil {
		t.Skipf("SKIPPED, no image for the tests: %v", err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(layer); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	configJSON, err := imageConfig(layer, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{blobs: map[string][]byte{digest(configJSON): configJSON, digest(packed.Bytes()): packed.Bytes()}, asked: map[string]int{}}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(configJSON), "digest": digest(configJSON)},
		"layers": []any{map[string]any{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": packed.Len(), "digest": digest(packed.Bytes())}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(r.serve)}
	group := loop.New(context.Background())
	group.Go("registry", func(context.Context) error { _ = server.Serve(l); return nil })
	t.Cleanup(func() {
		_ = server.Close()
		_ = group.Wait()
		for _, name := range r.names() {
			_, _ = engine.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true})
		}
	})
	return r
}

func (r *registry) image() string  { return r.addr + "/team/web:1" }
func (r *registry) pinned() string { return r.addr + "/team/web@" + digest(r.manifest) }

// names are all that its image goes by.
func (r *registry) names() []string {
	return []string{r.image(), r.pinned(), strings.TrimSuffix(r.image(), ":1")}
}

func (r *registry) count(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[path]
}

func (r *registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked[req.URL.Path]++
	user, password, gate, stuck := r.user, r.password, r.gate, r.stuck
	r.mu.Unlock()
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	u, p, _ := req.BasicAuth()
	if user != "" && (u != user || p != password) {
		w.Header().Set("Www-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch name, blob, ok := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/blobs/"); {
	case req.URL.Path == "/v2/":
	case strings.HasSuffix(name, "/manifests/1"), strings.HasSuffix(name, "/manifests/latest"), strings.HasSuffix(name, "/manifests/"+digest(r.manifest)):
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		w.Header().Set("Docker-Content-Digest", digest(r.manifest))
		_, _ = w.Write(r.manifest)
	case ok && r.blobs[blob] != nil:
		w.Header().Set("Content-Length", fmt.Sprint(len(r.blobs[blob])))
		half := len(r.blobs[blob]) / 2
		_, _ = w.Write(r.blobs[blob][:half])
		_ = http.NewResponseController(w).Flush()
		if gate != nil || stuck {
			select {
			case <-gate:
			case <-req.Context().Done():
				return
			}
		}
		_, _ = w.Write(r.blobs[blob][half:])
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
	}
}

// from is the config block of a container of a registry's image.
func from(image string) map[string]any {
	block := sh("echo pulled")
	block["image"] = image
	return block
}

// forget removes the registry's image from the engine.
func (r *registry) forget(t *testing.T, w *world) {
	t.Helper()
	for _, name := range r.names() {
		_, _ = w.engine.ImageRemove(t.Context(), name, client.ImageRemoveOptions{Force: true})
	}
}

func TestImagesArePulledByTagAndDigest(t *testing.T) {
	w := newWorld(t, pluginBlock())
	r := newRegistry(t, w.engine)
	for _, name := range []string{r.image(), "https://" + r.pinned(), strings.TrimSuffix(r.image(), ":1")} {
		if got := w.output(w.task(from(name))); got != "pulled\n" {
			t.Errorf("%s printed %q", name, got)
		}
	}
	const manifests = "/v2/team/web/manifests/1"
	before := r.count(manifests)
	w.output(w.task(from(r.image())))
	if n := r.count(manifests); n != before {
		t.Error("an image that is here, and whose tag doesn't move, is asked for again")
	}
	block := from(r.image())
	block["force_pull"] = true
	w.output(w.task(block))
	if n := r.count(manifests); n == before {
		t.Error("force_pull doesn't ask the registry")
	}
}

func TestTasksThatStartTogetherShareADownload(t *testing.T) {
	w := newWorld(t, pluginBlock())
	r := newRegistry(t, w.engine)
	r.gate = make(chan struct{})
	starts := loop.New(t.Context())
	tasks := []*drivers.TaskConfig{w.task(from(r.image())), w.task(from(r.image())), w.task(from(r.image()))}
	for _, task := range tasks {
		starts.Go("start", func(ctx context.Context) error { _, err := w.driver.Start(ctx, task); return err })
		t.Cleanup(func() { _ = w.driver.Destroy(context.Background(), task.ID, true) })
	}
	seen := map[string]bool{}
	err := w.driver.Events(t.Context(), func(e *drivers.Event) error {
		if e.Message == "Downloading image" && e.Annotations["image"] == r.image() {
			seen[e.TaskID] = true
		}
		if len(seen) == len(tasks) {
			return io.EOF
		}
		return nil
	})
	if len(seen) != len(tasks) {
		t.Fatalf("told of %d downloads: %v", len(seen), err)
	}
	close(r.gate)
	if err := starts.Wait(); err != nil {
		t.Fatal(err)
	}
	for blob := range r.blobs {
		if n := r.count("/v2/team/web/blobs/" + blob); n > 1 {
			t.Errorf("blob %s was asked for %d times", blob, n)
		}
	}
}

func TestLoginsOfTaskAndNode(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nread server\necho \"$server\" >> " + filepath.Join(dir, "asked") + "\necho '{\"Username\":\"helped\",\"Secret\":\"pw\"}'\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	engine := needEngine(t)
	r := newRegistry(t, engine)
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, []byte(`{"auths":{"`+r.addr+`":{"auth":"ZmlsZWQ6cHc="}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for user, change := range map[string]struct{ plugin, task map[string]any }{
		"own":    {nil, map[string]any{"auth": map[string]any{"username": "own", "password": "pw", "server_address": r.addr}}},
		"filed":  {map[string]any{"config": file}, nil},
		"helped": {map[string]any{"helper": "test"}, nil},
	} {
		block := pluginBlock()
		if change.plugin != nil {
			block["auth"] = change.plugin
		}
		w := newWorld(t, block)
		r.mu.Lock()
		r.user, r.password = user, "pw"
		r.mu.Unlock()
		r.forget(t, w)
		task := from(r.image())
		for k, v := range change.task {
			task[k] = v
		}
		if got := w.output(w.task(task)); got != "pulled\n" {
			t.Errorf("%s: %q", user, got)
		}
	}
	if asked, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || string(asked) != r.addr+"\n" {
		t.Errorf("the helper was asked for %q, %v", asked, err)
	}
}

func TestARefusedLoginIsFinalUnlessItMayFail(t *testing.T) {
	w := newWorld(t, map[string]any{"gc": map[string]any{"image": false}, "auth": map[string]any{"helper": "absent-one"}})
	r := newRegistry(t, w.engine)
	_, err := w.driver.Start(t.Context(), w.task(from(r.image())))
	if err == nil || !strings.Contains(err.Error(), "docker-credential-absent-one") {
		t.Errorf("a helper that isn't there: %v", err)
	}
	soft := from(r.image())
	soft["auth_soft_fail"] = true
	if got := w.output(w.task(soft)); got != "pulled\n" {
		t.Errorf("without a login the container printed %q", got)
	}
	r.user, r.password = "somebody", "pw"
	r.forget(t, w)
	wrong := from(r.image())
	wrong["auth"] = map[string]any{"username": "me", "password": "wr0ng"}
	_, err = w.driver.Start(t.Context(), w.task(wrong))
	if err == nil || drivers.IsRecoverable(err) || !strings.Contains(err.Error(), "auth if it is private") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestARegistryThatStallsIsGivenUp(t *testing.T) {
	block := pluginBlock()
	block["pull_activity_timeout"] = "1s"
	w := newWorld(t, block)
	r := newRegistry(t, w.engine)
	r.stuck = true
	begun := time.Now()
	_, err := w.driver.Start(t.Context(), w.task(from(r.image())))
	if err == nil || !drivers.IsRecoverable(err) || !strings.Contains(err.Error(), "stood still for 1s") {
		t.Errorf("a registry that stalls: %v", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it was waited for %s", took)
	}
	patient := newWorld(t, pluginBlock())
	limited := from(r.image())
	limited["image_pull_timeout"] = "700ms"
	if _, err := patient.driver.Start(t.Context(), patient.task(limited)); err == nil || !drivers.IsRecoverable(err) || !strings.Contains(err.Error(), "longer than the 700ms") {
		t.Errorf("a registry that is slow: %v", err)
	}
	limited["image_pull_timeout"] = "soon"
	if _, err := patient.driver.Start(t.Context(), patient.task(limited)); err == nil || drivers.IsRecoverable(err) || !strings.Contains(err.Error(), "image_pull_timeout") {
		t.Errorf("a timeout that is none: %v", err)
	}
}

func TestHostileImageNamesAskNobody(t *testing.T) {
	w := newWorld(t, pluginBlock())
	r := newRegistry(t, w.engine)
	for _, name := range []string{
		r.addr + "/team/web:1\n", r.addr + "/team/\nweb:1", r.addr + "/team/web:1?x=y", r.addr + "/team/web:1&repo=x", r.addr + "/../../containers",
		"../../../etc/passwd", "web:1 --privileged", "\x00", "http://", " ", "UPPER/web", r.addr + "/web@sha256:short", strings.Repeat("a", 5000),
		r.addr + "/team/web:" + strings.Repeat("t", 200), "web\r\nX-Evil: 1", "file:///etc/passwd", "$(id)", "web;id",
	} {
		_, err := w.driver.Start(t.Context(), w.task(from(name)))
		if err == nil || drivers.IsRecoverable(err) || len(err.Error()) > 1500 || strings.ContainsAny(err.Error(), "\x00\r\n") {
			t.Errorf("%.60q: %v", name, err)
		}
	}
	if len(r.asked) != 0 {
		t.Errorf("the registry was asked for %v", r.asked)
	}
	missing := from("sha256:" + strings.Repeat("0", 64))
	if _, err := w.driver.Start(t.Context(), w.task(missing)); err == nil || drivers.IsRecoverable(err) || !strings.Contains(err.Error(), "can't be downloaded") {
		t.Errorf("an id that isn't here: %v", err)
	}
}

func TestUnusedImagesGoAfterAWhile(t *testing.T) {
	w := newWorld(t, map[string]any{"gc": map[string]any{"image": true, "image_delay": "200ms"}})
	r := newRegistry(t, w.engine)
	first, second := w.task(from(r.image())), w.task(from(r.image()))
	w.start(first)
	w.start(second)
	w.wait(first)
	w.wait(second)
	here := func() bool {
		_, err := w.engine.ImageInspect(t.Context(), r.image())
		return err == nil
	}
	if err := w.driver.Destroy(t.Context(), first.ID, false); err != nil || !here() {
		t.Fatalf("the image of two tasks goes with the first: %v", err)
	}
	if err := w.driver.Destroy(t.Context(), second.ID, false); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, patience, "the image is gone", func() bool { return !here() })
	// A start that fails lets go of its image, too.
	failing := from(r.image())
	failing["command"] = "/no/such/program"
	if _, err := w.driver.Start(t.Context(), w.task(failing)); err == nil {
		t.Error("a missing program starts")
	}
	testx.Eventually(t, patience, "the image is gone again", func() bool { return !here() })
}
