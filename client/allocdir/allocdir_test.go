package allocdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-run/steppe/structs"
)

const id = "11111111-2222-3333-4444-555555555555"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T) Dir {
	t.Helper()
	d, err := Base{Path: t.TempDir()}.Build(id)
	must(t, err)
	must(t, d.BuildTask(TaskOptions{Name: "web", UID: -1, GID: -1}))
	return d
}

func TestLayout(t *testing.T) {
	d := build(t)
	for name, want := range map[string]os.FileMode{
		"alloc": 0o755, "alloc/data": 0o777, "alloc/logs": 0o755, "alloc/tmp": os.ModeSticky | 0o777,
		"web": 0o755, "web/local": 0o777, "web/tmp": os.ModeSticky | 0o777, "web/secrets": 0o700, "web/private": 0o700,
	} {
		info, err := os.Stat(filepath.Join(d.Path(), name))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode() &^ os.ModeDir; got != want {
			t.Errorf("%s has mode %v, want %v", name, got, want)
		}
	}
	// Building again keeps what is there.
	must(t, os.WriteFile(filepath.Join(d.Path(), "web/local/x"), []byte("x"), 0o600))
	_, err := d.base.Build(id)
	must(t, err)
	must(t, d.BuildTask(TaskOptions{Name: "web", UID: -1, GID: -1}))
	if _, err := os.Stat(filepath.Join(d.Path(), "web/local/x")); err != nil {
		t.Error(err)
	}
}

func TestNamesThatCannotBeDirectories(t *testing.T) {
	d := build(t)
	for _, name := range []string{"", "alloc", ".", "..", "a/b", "../x", "/etc"} {
		if err := d.BuildTask(TaskOptions{Name: name, UID: -1, GID: -1}); err == nil {
			t.Errorf("task directory %q was built", name)
		}
	}
	for _, name := range []string{"", "..", "a/b"} {
		if _, err := d.base.Build(name); err == nil {
			t.Errorf("allocation directory %q was built", name)
		}
	}
}

func TestTaskDirectoryThatIsALinkIsRefused(t *testing.T) {
	d := build(t)
	elsewhere := t.TempDir()
	must(t, os.Symlink(elsewhere, filepath.Join(d.Path(), "evil")))
	if err := d.BuildTask(TaskOptions{Name: "evil", UID: -1, GID: -1}); err == nil {
		t.Error("a task directory was built through a link")
	}
	entries, err := os.ReadDir(elsewhere)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("%v was made outside", entries)
	}
}

func TestTmpfsSecretsAreMountedAndGoneAfterwards(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	d, err := Base{Path: t.TempDir(), Tmpfs: true}.Build(id)
	must(t, err)
	must(t, d.BuildTask(TaskOptions{Name: "web", SecretsMB: 2, UID: -1, GID: -1}))
	secrets := filepath.Join(d.Path(), "web", SecretsName)
	if !mounted(secrets) {
		t.Skip("this kernel lets nobody mount")
	}
	must(t, d.BuildTask(TaskOptions{Name: "web", SecretsMB: 2, UID: -1, GID: -1}))
	must(t, os.WriteFile(filepath.Join(secrets, "token"), []byte("x"), 0o600))
	must(t, d.Destroy())
	if mounted(secrets) || d.Exists() {
		t.Error("something is left")
	}
	must(t, d.Destroy())
}

// hostile fills an allocation with what a task could plant to lead a reader
// astray, and returns the paths.
func hostile(t *testing.T, d Dir) []string {
	t.Helper()
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.Mkdir(outside, 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "shadow"), []byte("root"), 0o644))
	must(t, os.WriteFile(filepath.Join(d.Path(), "web/secrets/token"), []byte("secret"), 0o600))
	data := filepath.Join(d.SharedPath(), DataName)
	must(t, os.Symlink(filepath.Join(outside, "shadow"), filepath.Join(data, "file-link")))
	must(t, os.Symlink(outside, filepath.Join(data, "dir-link")))
	must(t, os.Symlink("../../web/secrets/token", filepath.Join(data, "secret-link")))
	must(t, os.Symlink("../../web/secrets", filepath.Join(data, "secrets-dir-link")))
	must(t, os.Symlink("/proc/self/environ", filepath.Join(data, "proc-link")))
	must(t, syscall.Mkfifo(filepath.Join(data, "pipe"), 0o644))
	return []string{
		"alloc/data/file-link", "alloc/data/dir-link/shadow", "alloc/data/secret-link", "alloc/data/secrets-dir-link/token",
		"alloc/data/proc-link", "alloc/data/pipe", "web/secrets/token", "web/private/x", "web//secrets/token", "web/./secrets/token",
		"alloc/../web/secrets/token", "../" + id + "/web/secrets/token", "../../etc/passwd", "/../../../etc/passwd", "alloc/data/../../../x",
		"web/secrets/../secrets/token", "alloc/data\x00", "..", "web/secrets",
	}
}

func TestHostilePathsAreNotRead(t *testing.T) {
	d := build(t)
	for _, path := range hostile(t, d) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if f, err := d.OpenFile(path); err == nil {
				t.Errorf("%q was opened", path)
				_ = f.Close()
			} else if strings.Contains(err.Error(), d.Path()) {
				t.Errorf("%q: the error shows where it is on the host: %v", path, err)
			}
			if infos, err := d.List(path); err == nil {
				t.Errorf("%q was listed: %v", path, infos)
			}
		}()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("%q blocks", path)
		}
	}
	if _, err := d.OpenFile("web/secrets/token"); !errors.Is(err, ErrHidden) {
		t.Errorf("secrets: %v", err)
	}
	if _, err := d.OpenFile("alloc/data/file-link"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("link: %v", err)
	}
	if _, err := d.OpenFile("alloc/data/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// A path that is swapped between a plain file and a link while it is read
// must never show what the link points at.
func TestSwappedPathsDoNotLeak(t *testing.T) {
	d := build(t)
	outside := filepath.Join(t.TempDir(), "shadow")
	must(t, os.WriteFile(outside, []byte("LEAK"), 0o644))
	data := filepath.Join(d.SharedPath(), DataName)
	good, link := filepath.Join(data, "good"), filepath.Join(data, "link")
	must(t, os.WriteFile(good, []byte("fine"), 0o644))
	must(t, os.Symlink(outside, link))
	name := filepath.Join(data, "name")
	stop := make(chan struct{})
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			from := good
			if i%2 == 0 {
				from = link
			}
			tmp := name + ".tmp"
			if os.Link(from, tmp) == nil {
				_ = os.Rename(tmp, name) // another turn comes
			}
		}
	}()
	opened := 0
	for deadline := time.Now().Add(500 * time.Millisecond); time.Now().Before(deadline); {
		f, err := d.OpenFile("alloc/data/name")
		if err != nil {
			continue
		}
		opened++
		buf := make([]byte, 4)
		_, err = f.Read(buf)
		_ = f.Close() // only read
		if err == nil && string(buf) == "LEAK" {
			t.Error("the link was followed")
			break
		}
	}
	close(stop)
	<-swapped
	if opened == 0 {
		t.Error("the file was never opened: the test shows nothing")
	}
}

func TestListAndStat(t *testing.T) {
	d := build(t)
	must(t, os.WriteFile(filepath.Join(d.Path(), "web/local/page.html"), []byte("<html><body>hi</body></html>"), 0o640))
	infos, err := d.List("/")
	must(t, err)
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	if !slices.Equal(names, []string{"alloc", "web"}) {
		t.Errorf("names %v", names)
	}
	info, err := d.Stat("web/local/page.html")
	must(t, err)
	want := structs.AllocFileInfo{Name: "page.html", Size: 28, FileMode: "-rw-r-----", ContentType: "text/html; charset=utf-8", ModTime: info.ModTime}
	if *info != want {
		t.Errorf("stat %+v, want %+v", *info, want)
	}
	if _, err := d.List("web/local/page.html"); err == nil {
		t.Error("a file was listed")
	}
	if _, err := d.OpenFile("web/local"); err == nil {
		t.Error("a directory was opened")
	}
	n, err := d.Usage()
	must(t, err)
	if n != 28 {
		t.Errorf("usage %d", n)
	}
}

func TestMoveTakesDataAndLocal(t *testing.T) {
	old := build(t)
	must(t, os.WriteFile(filepath.Join(old.SharedPath(), "data/db"), []byte("rows"), 0o600))
	must(t, os.WriteFile(filepath.Join(old.TaskPath("web"), "local/cache"), []byte("c"), 0o600))
	must(t, os.WriteFile(filepath.Join(old.TaskPath("web"), "secrets/token"), []byte("s"), 0o600))
	fresh, err := old.base.Build("22222222-2222-3333-4444-555555555555")
	must(t, err)
	must(t, fresh.Move(old, []string{"web", "other"}))
	must(t, fresh.BuildTask(TaskOptions{Name: "web", UID: -1, GID: -1}))
	for _, name := range []string{"alloc/data/db", "web/local/cache"} {
		if _, err := fresh.OpenFile(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(fresh.TaskPath("web"), "secrets/token")); err == nil {
		t.Error("secrets were moved")
	}
	must(t, old.Destroy())
}

func TestDestroyDoesNotFollowLinks(t *testing.T) {
	d := build(t)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "keep"), []byte("x"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(d.Path(), "web/local/out")))
	must(t, d.Destroy())
	if _, err := os.Stat(filepath.Join(outside, "keep")); err != nil {
		t.Error("a file outside was removed")
	}
	ids, err := d.base.List()
	must(t, err)
	if len(ids) != 0 {
		t.Errorf("%v are left", ids)
	}
}

func TestListLeavesOthersDirectoriesOut(t *testing.T) {
	d := build(t)
	for _, name := range []string{"lost+found", "backups", ".snapshots", "a1", id + ".old", strings.ReplaceAll(id, "-", "")} {
		must(t, os.Mkdir(filepath.Join(d.base.Path, name), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(d.base.Path, "33333333-2222-3333-4444-555555555555"), nil, 0o600))
	ids, err := d.base.List()
	must(t, err)
	if !slices.Equal(ids, []string{id}) {
		t.Errorf("%v are taken for allocations", ids)
	}
}
