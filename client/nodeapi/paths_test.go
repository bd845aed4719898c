package nodeapi

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/steppe-run/steppe/internal/loop"
)

// rounds is how often a path is read while what it leads over is swapped.
var rounds = flag.Int("paths.rounds", 1000, "rounds of the race against a swapper of links; 50000 in full")

const (
	canary = "CANARY-OUTSIDE" // what lies outside must never be seen
	inside = "what may be read"
)

// trap makes an allocation with everything in it that leads out, and returns the
// node and the path of what lies outside.
func trap(t *testing.T) (*node, string) {
	t.Helper()
	n := newNode(t, false)
	outside := t.TempDir()
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "shadow"), canary)
	n.write("alloc/data/f", inside)
	n.write("web/secrets/token", canary)
	n.write("web/private/key", canary)
	data, logs := filepath.Join(n.runner.Dir().SharedPath(), "data"), n.runner.Dir().LogsPath()
	for name, target := range map[string]string{
		"file": filepath.Join(outside, "shadow"), "dir": outside, "up": "../../web/secrets", "secret": "../../web/secrets/token",
		"chain1": "chain2", "chain2": "chain3", "chain3": filepath.Join(outside, "shadow"), "loop": "loop", "self": "/proc/self/root",
		"cwd": "/proc/self/cwd", "root": "/", "fd": "/proc/self/fd/0", "dots": "../../../../../../../../../../etc", "null": "/dev/null", "zero": "/dev/zero",
	} {
		if err := os.Symlink(target, filepath.Join(data, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(data, "pipe"), filepath.Join(logs, "web.stderr.0")} {
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outside, "shadow"), filepath.Join(logs, "web.stdout.0")); err != nil {
		t.Fatal(err)
	}
	return n, outside
}

// payloads are paths that people who mean ill have thought of.
func payloads(outside string) []string {
	const etc = "etc/passwd"
	secret := outside + "/shadow"
	list := []string{
		"..", "../", "../..", "../../" + etc, "../../../../../../../../" + etc, "/../../../../" + etc, "/" + etc, "//" + etc, "///" + etc,
		"/./" + etc, "./../../" + etc, "alloc/../../" + etc, "alloc/./../../../" + etc, "alloc/data/../../../../" + etc, "alloc//..//..//..//" + etc,
		"....//....//" + etc, "..;/..;/" + etc, ".../.../" + etc, "..\\..\\etc\\passwd", "alloc\\..\\..\\etc\\passwd", "..%2f..%2f" + etc,
		"%2e%2e%2f%2e%2e%2f" + etc, "%252e%252e%252f" + etc, "..%252f..%252f" + etc, "%c0%ae%c0%ae%c0%af" + etc, "\xc0\xae\xc0\xae\xc0\xaf" + etc,
		"\xc0\xaf\xc0\xafetc", "..%c1%9c" + etc, "\u2025/" + etc, "\uff0e\uff0e/" + etc, "\uff0e\uff0e\uff0f" + etc, "..\u2215..\u2215" + etc,
		"alloc/data/f\x00.txt", "\x00", "alloc/data/file\x00", etc + "\x00", "alloc/data/\r\n", "alloc/data/f\n../../" + etc, "~/.ssh/id_rsa", "~root/" + etc, "$HOME/" + etc,
		"file://" + secret, "file:///" + etc, "C:\\Windows\\win.ini", "\\\\?\\C:\\x", "con", secret, "/" + secret, "../" + allocID + "/web/secrets/token",
		"/proc/self/root/" + etc, "/proc/self/environ", "/proc/1/root/" + etc, "alloc/data/self/" + etc, "alloc/data/cwd/api.go", "alloc/data/root/" + etc, "alloc/data/root" + secret,
		"alloc/data/file", "alloc/data/file/", "alloc/data/file/.", "alloc/data/dir", "alloc/data/dir/", "alloc/data/dir/shadow", "alloc/data/dir/../shadow", "alloc/data/up/token",
		"alloc/data/secret", "alloc/data/chain1", "alloc/data/loop", "alloc/data/loop/x", "alloc/data/fd", "alloc/data/dots/passwd", "alloc/data/null", "alloc/data/zero", "alloc/data/pipe",
		"alloc/data/f/../../../web/secrets/token", "alloc/data/f/x", "web/secrets", "web/secrets/", "web/secrets/token", "web/./secrets/token", "web//secrets//token", "/web/secrets/token",
		"web/local/../secrets/token", "alloc/../web/secrets/token", "web/%73ecrets/token", "web/private/key", "web/private", "WEB/SECRETS/token", "web/secrets\u200b/token", "web/secrets./token",
		"alloc/logs/web.stdout.0", "alloc/logs/web.stderr.0", "alloc/data/*", "alloc/data/{file,dir}", "alloc/data/`id`", "alloc/data/$(id)", "alloc/data/;cat " + etc,
		strings.Repeat("a", 300), strings.Repeat("a/", 3000), strings.Repeat("../", 3000) + etc, "alloc/" + strings.Repeat("./", 3000) + "data/file", strings.Repeat("/", 5000) + etc,
	}
	return list
}

var fileRoutes = []string{"ls", "stat", "cat", "readat", "stream"}

// leaks says what of the outside an answer shows, "" if nothing. The frames of
// streams hold base64.
func leaks(route, body string) string {
	for _, bad := range []string{canary, "Q0FOQVJZ", "root:x:", "cm9vdDp4", `"Name":"shadow"`, `"Name":"passwd"`, `"Name":"token"`, `"Name":"key"`, `"Name":"proc"`} {
		if strings.Contains(body, bad) {
			return route + " shows " + bad
		}
	}
	return ""
}

func TestNoPathLeadsOutOfAnAllocation(t *testing.T) {
	n, outside := trap(t)
	list := payloads(outside)
	if len(list) < 60 {
		t.Fatalf("only %d paths", len(list))
	}
	for _, path := range list {
		for _, route := range fileRoutes {
			for _, query := range []string{"path=" + url.QueryEscape(path), "path=" + strings.NewReplacer("\x00", "%00", "\r", "%0d", "\n", "%0a", " ", "+", "#", "%23").Replace(path)} {
				body, code := ask(t, n, "/v1/client/fs/"+route+"/"+allocID, query+"&offset=0&follow=false")
				if what := leaks(route, body); what != "" {
					t.Errorf("%.80q: %s: %d %.200q", path, what, code, body)
				}
			}
		}
		// A task may have any name, and the logs are found by it.
		for _, kind := range []string{"stdout", "stderr"} {
			query := "type=" + kind + "&follow=false&plain=true&task=" + url.QueryEscape(path)
			body, code := ask(t, n, "/v1/client/fs/logs/"+allocID, query)
			if what := leaks("logs", body); what != "" || code == http.StatusOK {
				t.Errorf("%.80q: %s: %d %.200q", path, what, code, body)
			}
		}
	}
	if body, code := ask(t, n, "/v1/client/fs/cat/"+allocID, "path=alloc/data/f"); body != inside || code != http.StatusOK {
		t.Errorf("what may be read isn't: %d %q", code, body)
	}
}

// ask serves one request without a socket: some of these no client would send.
func ask(t *testing.T, n *node, path, query string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, Body: http.NoBody}
	answer := httptest.NewRecorder()
	n.server.Config.Handler.ServeHTTP(answer, req.WithContext(ctx))
	if ctx.Err() != nil {
		t.Errorf("%s?%.100s was not answered in time", path, query)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(data), answer.Code
}

func TestOddOffsetsAndLimitsAreBounded(t *testing.T) {
	n, _ := trap(t)
	sparse := filepath.Join(n.runner.Dir().SharedPath(), "data", "sparse")
	if err := os.WriteFile(sparse, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Skip("no sparse files here: ", err)
	}
	for _, number := range []string{"-1", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "1e3", "0x10", "NaN", "", " 1", "1;2"} {
		for _, query := range []string{"offset=" + number, "offset=0&limit=" + number, "offset=" + number + "&limit=1", "offset=1&origin=end&limit=" + number} {
			for _, route := range []string{"readat", "stream"} {
				body, code := ask(t, n, "/v1/client/fs/"+route+"/"+allocID, "path=alloc/data/f&follow=false&"+strings.ReplaceAll(query, " ", "%20"))
				if code >= 500 || len(body) > 1<<16 {
					t.Errorf("%s %s: %d and %d bytes: %.100q", route, query, code, len(body), body)
				}
			}
		}
	}
	if body, code := ask(t, n, "/v1/client/fs/readat/"+allocID, "path=alloc/data/sparse&offset=1099511627770&limit=100"); code != http.StatusOK || len(body) != 6 {
		t.Errorf("the end of a large file: %d and %d bytes", code, len(body))
	}
	if body, code := ask(t, n, "/v1/client/fs/stat/"+allocID, "path=alloc/data/sparse"); code != http.StatusOK || !strings.Contains(body, "1099511627776") {
		t.Errorf("a large file is described as %d %s", code, body)
	}
}

// A directory and a file on the way are swapped for links to the outside and back
// while they are read.
func TestSwappedLinksLeadNowhere(t *testing.T) {
	n, outside := trap(t)
	data := filepath.Join(n.runner.Dir().SharedPath(), "data")
	real := filepath.Join(data, "real")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(real, "shadow"), []byte(inside), 0o644); err != nil {
		t.Fatal(err)
	}
	swapper := loop.New(t.Context())
	swapper.Go("swap", func(ctx context.Context) error {
		way, kept, link := filepath.Join(data, "way"), filepath.Join(data, "kept"), filepath.Join(data, "link")
		if err := os.Symlink(outside, link); err != nil {
			return err
		}
		if err := os.Rename(real, way); err != nil {
			return err
		}
		for ctx.Err() == nil {
			for _, step := range [][2]string{{way, kept}, {link, way}, {way, link}, {kept, way}} {
				if err := os.Rename(step[0], step[1]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	seen := 0
	for i := range *rounds {
		route := fileRoutes[i%len(fileRoutes)]
		path := "alloc/data/way/shadow"
		if route == "ls" {
			path = "alloc/data/way"
		}
		body, code := ask(t, n, "/v1/client/fs/"+route+"/"+allocID, "follow=false&offset=0&path="+path)
		if strings.Contains(body, canary) || strings.Contains(body, "Q0FOQVJZ") || strings.Contains(body, `"Size":14`) {
			t.Fatalf("round %d: %s leads out: %d %q", i, route, code, body)
		}
		if strings.Contains(body, inside) {
			seen++
		}
	}
	swapper.Stop()
	if err := swapper.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d rounds, the file inside was read in %d", *rounds, seen)
}
