package allocdir

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// disk is an allocation with one task.
func disk(t *testing.T, base Base, id string) Dir {
	t.Helper()
	d, err := base.Build(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.BuildTask(TaskOptions{Name: "web", UID: -1, GID: -1}); err != nil {
		t.Fatal(err)
	}
	return d
}

var roomy = Limits{Bytes: 1 << 20, Entries: 100}

func TestADiskArrivesAsItLeft(t *testing.T) {
	from, to := disk(t, Base{Path: t.TempDir()}, "old"), disk(t, Base{Path: t.TempDir()}, "new")
	data := filepath.Join(from.SharedPath(), DataName)
	when := time.Unix(1_700_000_000, 0)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(data, "db", "deep"), 0o750),
		os.WriteFile(filepath.Join(data, "db", "rows"), []byte("one two"), 0o640),
		os.Chmod(filepath.Join(data, "db", "rows"), 0o640|os.ModeSetuid),
		os.Chtimes(filepath.Join(data, "db", "rows"), when, when),
		os.WriteFile(filepath.Join(data, "db", "deep", "readonly"), nil, 0o400),
		os.Chmod(filepath.Join(data, "db", "deep"), 0o500),
		os.Symlink("../db/rows", filepath.Join(data, "db", "link")),
		os.Symlink("/etc/passwd", filepath.Join(data, "outside")),
		os.WriteFile(filepath.Join(from.TaskPath("web"), LocalName, "cache"), []byte("c"), 0o600),
		os.WriteFile(filepath.Join(from.TaskPath("web"), SecretsName, "token"), []byte("secret"), 0o600),
		syscall.Mkfifo(filepath.Join(data, "fifo"), 0o600),
		os.WriteFile(filepath.Join(to.SharedPath(), DataName, "stale"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(data, "db", "deep"), 0o700) }) // so that it can be removed
	var archive bytes.Buffer
	if err := from.Pack(&archive, []string{"web", "absent"}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(archive.String(), "secret") {
		t.Error("secrets travel with the disk")
	}
	if err := to.Unpack(&archive, []string{"web"}, roomy); err != nil {
		t.Fatal(err)
	}
	arrived := filepath.Join(to.SharedPath(), DataName)
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(arrived, "db", "deep"), 0o700) }) // as above
	if text, err := os.ReadFile(filepath.Join(arrived, "db", "link")); err != nil || string(text) != "one two" {
		t.Errorf("read through the link: %q, %v", text, err)
	}
	info, err := os.Stat(filepath.Join(arrived, "db", "rows"))
	if err != nil || info.Mode() != 0o640 || !info.ModTime().Equal(when) {
		t.Errorf("the file arrived as %v (%v)", info, err)
	}
	if info, err := os.Stat(filepath.Join(arrived, "db", "deep")); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("the directory arrived as %v (%v)", info, err)
	}
	if target, err := os.Readlink(filepath.Join(arrived, "outside")); err != nil || target != "/etc/passwd" {
		t.Errorf("a link arrived as %q (%v)", target, err)
	}
	for _, name := range []string{"stale", "fifo"} {
		if _, err := os.Lstat(filepath.Join(arrived, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there (%v)", name, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(to.TaskPath("web"), LocalName, "cache")); err != nil || string(text) != "c" {
		t.Errorf("the task's own part is %q (%v)", text, err)
	}
	if entries, err := os.ReadDir(to.SharedPath()); err != nil || len(entries) != 3 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}
}

func TestHostileArchivesChangeNothing(t *testing.T) {
	file := func(name string) []*tar.Header {
		return []*tar.Header{{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: 1}}
	}
	link := func(name, target string) *tar.Header {
		return &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
	}
	dir := func(name string) *tar.Header { return &tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o700} }
	for name, entries := range map[string][]*tar.Header{
		"climbs":                      file("alloc/data/../../../escaped"),
		"climbs within":               file("alloc/data/../logs/escaped"),
		"absolute":                    file("/escaped"),
		"dot":                         file("./alloc/data/x"),
		"double slash":                file("alloc//data/x"),
		"nowhere":                     file("x"),
		"logs":                        file("alloc/logs/web.stdout.0"),
		"secrets":                     file("web/secrets/token"),
		"private":                     file("web/private/recovery"),
		"another task":                file("other/local/x"),
		"beside a part":               file("alloc/database"),
		"the part is a file":          file("alloc/data"),
		"the part is a link":          {link("alloc/data", "/")},
		"a task is a link":            {link("web", "/")},
		"through a link out":          append([]*tar.Header{link("alloc/data/l", "/tmp")}, file("alloc/data/l/escaped")...),
		"through a link within":       append([]*tar.Header{link("alloc/data/l", "../logs")}, file("alloc/data/l/escaped")...),
		"through a link up":           append([]*tar.Header{link("alloc/data/l", "../../..")}, file("alloc/data/l/escaped")...),
		"a link over a directory":     {dir("alloc/data/d"), link("alloc/data/d", "/tmp")},
		"a file over a link":          append([]*tar.Header{link("alloc/data/l", "/tmp/escaped")}, file("alloc/data/l")...),
		"a directory over a link":     {link("alloc/data/l", "/tmp"), dir("alloc/data/l")},
		"a directory's mode by link":  {link("alloc/data/l", "/tmp"), dir("alloc/data/l/x")},
		"a hard link":                 {{Name: "alloc/data/h", Linkname: "/etc/passwd", Typeflag: tar.TypeLink}},
		"a device":                    {{Name: "alloc/data/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
		"a block device":              {{Name: "alloc/data/sda", Typeflag: tar.TypeBlock, Devmajor: 8}},
		"a pipe":                      {{Name: "alloc/data/pipe", Typeflag: tar.TypeFifo}},
		"an empty link":               {link("alloc/data/l", "")},
		"an endless link":             {link("alloc/data/l", strings.Repeat("x", maxName+1))},
		"an endless name":             file("alloc/data/" + strings.Repeat("x/", maxName/2) + "y"),
		"deep":                        file("alloc/data/" + strings.Repeat("d/", maxDepth) + "y"),
		"a name that is too long":     file("alloc/data/" + strings.Repeat("n", 300)),
		"twice":                       append(file("alloc/data/x"), file("alloc/data/x")...),
		"below a file":                append(file("alloc/data/x"), file("alloc/data/x/y")...),
		"more than fits":              {{Name: "alloc/data/big", Typeflag: tar.TypeReg, Size: roomy.Bytes + 1}},
		"more entries than there may": manyFiles(roomy.Entries + 1),
	} {
		t.Run(name, func(t *testing.T) {
			base := Base{Path: t.TempDir()}
			d := disk(t, base, "new")
			kept := filepath.Join(d.SharedPath(), DataName, "kept")
			if err := os.WriteFile(kept, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := tree(t, base.Path)
			err := d.Unpack(archiveOf(entries), []string{"web"}, roomy)
			if err == nil {
				t.Error("it was taken")
			}
			if after := tree(t, base.Path); after != before {
				t.Errorf("it has changed the disk:\n%s\nwas\n%s", after, before)
			}
			if _, err := os.Lstat("/tmp/escaped"); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("it got out: %v", err)
			}
		})
	}
}

func TestATruncatedArchiveChangesNothing(t *testing.T) {
	whole, err := io.ReadAll(archiveOf([]*tar.Header{{Name: "alloc/data/x", Typeflag: tar.TypeReg, Size: 1, Mode: 0o600}}))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 127 {
		d := disk(t, Base{Path: t.TempDir()}, "new")
		err := d.Unpack(io.MultiReader(bytes.NewReader(whole[:n]), broken{}), nil, roomy)
		if _, there := os.Lstat(filepath.Join(d.SharedPath(), DataName, "x")); err == nil || there == nil {
			t.Fatalf("the first %d bytes were taken for the whole: %v", n, err)
		}
	}
}

// broken is a connection that was lost.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func manyFiles(n int) []*tar.Header {
	var out []*tar.Header
	for i := range n {
		out = append(out, &tar.Header{Name: "alloc/data/f" + strings.Repeat("x", i), Typeflag: tar.TypeReg})
	}
	return out
}

// archiveOf writes entries, each file full of x.
func archiveOf(entries []*tar.Header) io.Reader {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range entries {
		_ = w.WriteHeader(h)                               // what it refuses to write is missing, and so refused later
		_, _ = io.CopyN(w, strings.NewReader("x"), h.Size) // an endless file stays short
	}
	_ = w.Close() // a short file is no error here
	return &out
}

// tree draws all that is below a directory.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil {
			out.WriteString(path + " " + e.Type().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
