package alloc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/internal/testx"
	"github.com/steppe-run/steppe/structs"
)

// stops counts how often the driver was asked to end a task.
func (w *world) stopsAsked() int {
	n := 0
	for _, call := range w.driver.Calls() {
		if strings.HasPrefix(call, "stop ") {
			n++
		}
	}
	return n
}

func (w *world) again(id string) *Runner {
	record := w.memory.Alloc(id)
	return w.start(record.Alloc, record)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) holds(r *Runner, name, want string) {
	w.t.Helper()
	if got, err := os.ReadFile(filepath.Join(r.Dir().Path(), name)); err != nil || string(got) != want {
		w.t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
	}
}

// pair is a sticky allocation and the one that replaces it.
func (w *world) pair() (old, next *structs.Allocation) {
	old = w.alloc("a1", "service", "web")
	old.Job.TaskGroups[0].EphemeralDisk = &structs.EphemeralDisk{Sticky: p(true)}
	return old, edited(old, func(a *structs.Allocation) { a.ID, a.PreviousAllocation = "a2", "a1" })
}

func TestReplacementWaitsAlsoAfterTheAgent(t *testing.T) {
	w := newWorld(t)
	old, next := w.pair()
	first := w.start(old, nil)
	w.status(first, "running")
	write(t, filepath.Join(first.Dir().SharedPath(), "data", "db"), "rows")
	w.driver.Deaf(true)
	if err := first.Update(stop(old)); err != nil {
		t.Fatal(err)
	}
	w.start(next, nil)
	testx.Eventually(t, patience, "the old one is being ended, the new one is known", func() bool {
		return w.stopsAsked() == 1 && w.memory.Alloc("a2") != nil
	})
	w.stops["a1"]()
	w.stops["a2"]()
	w.again("a1")
	second := w.again("a2")
	testx.Eventually(t, patience, "the old one is being ended again", func() bool { return w.stopsAsked() == 2 })
	if second.Status().ClientStatus != "pending" || len(w.driver.Starts()) != 1 {
		t.Fatal("the replacement has not waited")
	}
	w.driver.Exit("a1", "web", 0)
	w.status(second, "running")
	w.holds(second, "alloc/data/db", "rows")
	if !w.memory.Alloc("a2").Prepared {
		t.Error("it is not written down that all is prepared")
	}
}

// The agent dies in the middle of taking the data over.
func TestDiskIsAdoptedToItsEnd(t *testing.T) {
	for name, half := range map[string]func(t *testing.T, from, to string){
		"nothing moved": func(*testing.T, string, string) {},
		"place made":    func(t *testing.T, _, to string) { remove(t, to) },
		"one part moved": func(t *testing.T, from, to string) {
			remove(t, to)
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			old, next := w.pair()
			first := w.start(old, nil)
			w.status(first, "running")
			write(t, filepath.Join(first.Dir().SharedPath(), "data", "db"), "rows")
			write(t, filepath.Join(first.Dir().TaskPath("web"), "local", "cache"), "c")
			w.driver.Exit("a1", "web", 1) // it fails; nobody asks for its end
			w.status(first, "failed")
			<-first.Done()
			w.stops["a1"]()
			if err := w.memory.PutAlloc(&local.Alloc{Alloc: next}); err != nil {
				t.Fatal(err)
			}
			dir, err := w.host.Dirs.Build("a2")
			if err != nil {
				t.Fatal(err)
			}
			half(t, filepath.Join(first.Dir().SharedPath(), "data"), filepath.Join(dir.SharedPath(), "data"))
			w.again("a1")
			second := w.again("a2")
			w.status(second, "running")
			w.holds(second, "alloc/data/db", "rows")
			w.holds(second, "web/local/cache", "c")
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// What its tasks have written since is never overwritten, also not when the
// record is one of a release that didn't write down how far it was.
func TestDiskOfTasksThatHaveRunIsKept(t *testing.T) {
	w := newWorld(t)
	old, next := w.pair()
	first := w.start(old, nil)
	w.status(first, "running")
	w.driver.Exit("a1", "web", 1)
	<-first.Done()
	second := w.start(next, nil)
	w.status(second, "running")
	write(t, filepath.Join(second.Dir().SharedPath(), "data", "db"), "new")
	write(t, filepath.Join(first.Dir().SharedPath(), "data", "db"), "old")
	w.stops["a2"]()
	record := w.memory.Alloc("a2")
	record.Prepared = false
	second = w.start(record.Alloc, record)
	testx.Eventually(t, patience, "web is taken back", func() bool { return slices.Contains(w.driver.Calls(), "recover web") })
	w.holds(second, "alloc/data/db", "new")
}

func TestPredecessorsComeFirst(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a b c", "a b c"},
		{"a<b b<c c d", "c b a d"},
		{"a<gone b", "a b"},
		{"b<a a<b c<b", "a b c"}, // nonsense, but nobody is left out
		{"a<a", "a"},
	} {
		var records []*local.Alloc
		for _, word := range strings.Fields(c.in) {
			id, previous, _ := strings.Cut(word, "<")
			records = append(records, &local.Alloc{Alloc: &structs.Allocation{ID: id, PreviousAllocation: previous}})
		}
		var got []string
		for _, record := range PredecessorsFirst(records) {
			got = append(got, record.Alloc.ID)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.in, got, c.want)
		}
	}
}
