package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/structs"
)

func open1(t *testing.T, dir string) *DB {
	t.Helper()
	db, moved, err := Open(dir)
	if err != nil || moved != "" {
		t.Fatalf("open: %v, moved %q", err, moved)
	}
	return db
}

func closeDB(t *testing.T, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sample(id string) *Alloc {
	name, kind := "web", "service"
	job := &structs.Job{ID: &name, Name: &name, Type: &kind, TaskGroups: []*structs.TaskGroup{{Name: &name, Tasks: []*structs.Task{
		{Name: "t", Driver: "raw_exec", Config: map[string]any{"command": "sleep"}},
	}}}}
	return &Alloc{Alloc: &structs.Allocation{ID: id, Name: "web.web[0]", JobID: name, Job: job, TaskGroup: name}}
}

func TestWhatWasWrittenIsReadAfterReopening(t *testing.T) {
	dir := t.TempDir()
	db := open1(t, dir)
	id := Identity{NodeID: "n", SecretID: "s"}
	must(t, db.PutIdentity(id))
	a := sample("a1")
	must(t, db.PutAlloc(a))
	task := &Task{
		Intent: IntentRun, TaskID: "a1/t/1", State: &structs.TaskState{State: structs.TaskStateRunning, Restarts: 2},
		Handle: &drivers.Handle{Version: 1, DriverState: []byte{1, 2}, Config: &drivers.TaskConfig{ID: "a1/t/1", Env: map[string]string{"A": "b"}}},
		Window: structs.RestartWindow{Used: 1},
	}
	must(t, db.PutTask("a1", "t", task))
	must(t, db.PutAlloc(sample("a2")))
	must(t, db.DeleteAlloc("a2"))
	must(t, db.DeleteAlloc("never there"))
	must(t, db.PutTask("never there", "t", task))
	value := "v"
	must(t, db.PutNodeMeta(map[string]*string{"set": &value, "unset": nil}))
	closeDB(t, db)

	db = open1(t, dir)
	defer closeDB(t, db)
	if got, err := db.Identity(); err != nil || got != id {
		t.Errorf("identity %+v, %v", got, err)
	}
	meta, err := db.NodeMeta()
	if err != nil || *meta["set"] != "v" || meta["unset"] != nil || len(meta) != 2 {
		t.Errorf("meta %v, %v", meta, err)
	}
	allocs, err := db.Allocs()
	must(t, err)
	if len(allocs) != 1 {
		t.Fatalf("%d allocations", len(allocs))
	}
	if diff := cmp.Diff(a.Alloc, allocs[0].Alloc); diff != "" {
		t.Errorf("allocation: %s", diff)
	}
	if diff := cmp.Diff(task, allocs[0].Tasks["t"]); diff != "" {
		t.Errorf("task: %s", diff)
	}
}

func TestWritersThatComeTogetherAreAllStored(t *testing.T) {
	db := open1(t, t.TempDir())
	defer closeDB(t, db)
	const writers = 64
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() { errs[i] = db.PutAlloc(sample(fmt.Sprintf("a%02d", i))) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	allocs, err := db.Allocs()
	must(t, err)
	if len(allocs) != writers {
		t.Errorf("%d of %d allocations were stored", len(allocs), writers)
	}
}

func TestOneBadWriteDoesNotSpoilOthers(t *testing.T) {
	db := open1(t, t.TempDir())
	defer closeDB(t, db)
	bad := sample("bad")
	bad.Alloc.Job.TaskGroups[0].Tasks[0].Config["f"] = func() {} // can't be encoded
	var wg sync.WaitGroup
	var badErr, goodErr error
	wg.Go(func() { badErr = db.PutAlloc(bad) })
	wg.Go(func() { goodErr = db.PutAlloc(sample("good")) })
	wg.Wait()
	if badErr == nil || goodErr != nil {
		t.Errorf("bad: %v, good: %v", badErr, goodErr)
	}
}

func TestBrokenFileIsMovedAside(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"garbage":   func([]byte) []byte { return []byte("this is no database, but long enough to be read as one") },
		"truncated": func(b []byte) []byte { return b[:len(b)/3] },
		"zeroed": func(b []byte) []byte {
			clear(b[8192:])
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := open1(t, dir)
			must(t, db.PutIdentity(Identity{NodeID: "n"}))
			for i := range 50 {
				must(t, db.PutAlloc(sample(fmt.Sprintf("a%02d", i))))
			}
			closeDB(t, db)
			path := filepath.Join(dir, "state.db")
			data, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, spoil(data), 0o600))
			db, moved, err := Open(dir)
			must(t, err)
			defer closeDB(t, db)
			if moved == "" {
				t.Fatal("a broken file was taken for a good one")
			}
			if _, err := os.Stat(moved); err != nil {
				t.Errorf("the broken file is gone: %v", err)
			}
			if id, err := db.Identity(); err != nil || id.NodeID != "" {
				t.Errorf("identity %+v, %v", id, err)
			}
			must(t, db.PutIdentity(Identity{NodeID: "new"}))
		})
	}
}

func TestFileInUseIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	db := open1(t, dir)
	defer closeDB(t, db)
	if _, moved, err := Open(dir); !errors.Is(err, ErrInUse) || moved != "" {
		t.Errorf("err %v, moved %q", err, moved)
	}
}

func TestLaterLayoutIsRefused(t *testing.T) {
	dir := t.TempDir()
	db := open1(t, dir)
	must(t, db.update(func(tx *bbolt.Tx) error { return put(tx.Bucket(bucketMeta), keySchema, schemaVersion+1) }))
	closeDB(t, db)
	if _, moved, err := Open(dir); err == nil || moved != "" {
		t.Errorf("err %v, moved %q", err, moved)
	}
}

// What says nothing about the file's content must not cost the node its
// identity: the next start finds everything as it was.
func TestHealthyFileThatCannotBeOpenedIsKept(t *testing.T) {
	dir := t.TempDir()
	db := open1(t, dir)
	id := Identity{NodeID: "n", SecretID: "s"}
	must(t, db.PutIdentity(id))
	closeDB(t, db)

	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Max: limit.Max}))
	_, moved, err := Open(dir)
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if !errors.Is(err, syscall.EMFILE) || moved != "" {
		t.Errorf("without descriptors: err %v, moved %q", err, moved)
	}
	db = open1(t, dir)
	defer closeDB(t, db)
	if got, err := db.Identity(); err != nil || got != id {
		t.Errorf("identity %+v, %v", got, err)
	}
}

func TestFullDiskIsNoBrokenFile(t *testing.T) {
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("this system has no device that is always full")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	must(t, os.Symlink(full, path))
	if _, moved, err := Open(dir); !errors.Is(err, syscall.ENOSPC) || moved != "" {
		t.Errorf("err %v, moved %q", err, moved)
	}
	if to, err := os.Readlink(path); err != nil || to != full {
		t.Errorf("the file was moved: %q, %v", to, err)
	}
}

func TestWhatCountsAsBroken(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{bolterrors.ErrInvalid, true},
		{bolterrors.ErrChecksum, true},
		{bolterrors.ErrVersionMismatch, true},
		{guard(func() error { panic("page 7 is no page") }), true},
		{decode([]byte("{"), keyIdentity, &Identity{}), true},
		{decode([]byte("[]"), keyIdentity, &Identity{}), true},
		{ErrInUse, false},
		{&versionError{found: 9}, false},
		{&os.PathError{Op: "open", Err: syscall.EACCES}, false},
		{&os.PathError{Op: "read", Err: syscall.EIO}, false},
		{fmt.Errorf("map: %w", syscall.ENOMEM), false},
		{syscall.ENOSPC, false},
	} {
		if got := broken(fmt.Errorf("open: %w", c.err)); got != c.want {
			t.Errorf("%v: broken %v, want %v", c.err, got, c.want)
		}
	}
}

func TestValueThatCannotBeDecodedIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	db := open1(t, dir)
	must(t, db.PutAlloc(sample("a1")))
	must(t, db.update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketAllocs).Bucket([]byte("a1")).Put(keyAlloc, []byte("{"))
	}))
	closeDB(t, db)
	db, moved, err := Open(dir)
	must(t, err)
	defer closeDB(t, db)
	if moved == "" {
		t.Error("a broken record was taken for a good one")
	}
}
