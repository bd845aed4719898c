//go:build linux

package credential

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// helper puts a program docker-credential-NAME on the path.
func helper(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheFileIsReadInItsOrder(t *testing.T) {
	helper(t, "store", `read server; echo "{\"Username\":\"store\",\"Secret\":\"for $server\"}"`)
	helper(t, "special", `read server; echo '{"Username":"<token>","Secret":"tok"}'`)
	path := configFile(t, `{"auths":{"plain.example":{"auth":"bWU6czplY3JldA=="},"https://index.docker.io/v1/":{"auth":"aHViOnB3"},
		"http://old.example:5000/v2/":{"username":"old","password":"pw"},"empty.example":{}},
		"credsStore":"store","credHelpers":{"special.example":"special"}}`)
	for registry, want := range map[string]Login{
		"plain.example":    {Username: "me", Password: "s:ecret", Server: "plain.example"},
		"docker.io":        {Username: "hub", Password: "pw", Server: "https://index.docker.io/v1/"},
		"old.example:5000": {Username: "old", Password: "pw", Server: "http://old.example:5000/v2/"},
		"special.example":  {IdentityToken: "tok", Server: "special.example"},
		"empty.example":    {Username: "store", Password: "for empty.example", Server: "empty.example"},
		"other.example":    {Username: "store", Password: "for other.example", Server: "other.example"},
	} {
		got, err := Source{File: path, Timeout: 10 * time.Second}.Find(t.Context(), registry)
		if err != nil || got == nil || *got != want {
			t.Errorf("%s: %+v, %v, want %+v", registry, got, err, want)
		}
	}
}

func TestTheHubIsAskedForByItsAddress(t *testing.T) {
	helper(t, "hub", `read server; echo "{\"Username\":\"u\",\"Secret\":\"$server\"}"`)
	got, err := Source{Helper: "hub", Timeout: 10 * time.Second}.Find(t.Context(), "docker.io")
	if err != nil || got == nil || got.Password != "https://index.docker.io/v1/" {
		t.Errorf("asked for %+v, %v", got, err)
	}
}

func TestAHelperWithoutALoginIsNoFailure(t *testing.T) {
	helper(t, "none", `echo "credentials not found in native keychain"; exit 1`)
	if got, err := (Source{Helper: "none", Timeout: 10 * time.Second}).Find(t.Context(), "r.example"); err != nil || got != nil {
		t.Errorf("login = %+v, %v", got, err)
	}
}

func TestWhatHelpersDoWrongIsSaid(t *testing.T) {
	helper(t, "fails", `echo "the keychain
is locked" >&2; exit 3`)
	helper(t, "babbles", `echo not json, and s3cret`)
	helper(t, "hangs", `sleep 100 & sleep 100`)
	helper(t, "floods", `exec cat /dev/zero`)
	for name, want := range map[string]string{
		"fails": "exit status 3: the keychain is locked", "babbles": "isn't what helpers answer", "hangs": "didn't answer within 300ms",
		"absent": "executable file not found", "floods": "didn't answer within 300ms",
	} {
		patience := 10 * time.Second
		if name == "hangs" || name == "floods" {
			patience = 300 * time.Millisecond
		}
		begun := time.Now()
		_, err := Source{Helper: name, Timeout: patience}.Find(t.Context(), "r.example")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Source{Helper: "hangs", Timeout: time.Minute}).Find(ended, "r.example"); err == nil {
		t.Error("a search that is given up goes on")
	}
}

func TestBrokenSourcesAreRefused(t *testing.T) {
	for _, name := range []string{"../evil", "a/b", "a b", "a\nb", "-x;"} {
		if err := (Source{Helper: name}).Check(); (err == nil) != (name == "-x") {
			t.Errorf("helper %q: %v", name, err)
		}
	}
	for text, want := range map[string]string{
		`{"auths":{"r.example":{"auth":"?"}}}`: "isn't base64", `{"auths":{"r.example":{"auth":"bWU="}}}`: "user:password",
		`{ s3cret`: "is not a file like", `{"credsStore":"../../bin/sh"}`: "credential helper",
	} {
		_, err := Source{File: configFile(t, text)}.Find(t.Context(), "r.example")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := (Source{File: "/no/such/file"}).Find(t.Context(), "r.example"); err == nil {
		t.Error("a missing file is no fault")
	}
}
