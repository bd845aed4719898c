package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	walfs "github.com/hashicorp/raft-wal/fs"

	"github.com/steppe-run/steppe/internal/logx"
)

const testSegment = 1 << 13

func openLog(dir string) (*diskLog, error) {
	return openDiskLog(dir, walfs.New(), testSegment, hclog.NewNullLogger(), func(error) {})
}

func entry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: 1 + i/10, Data: fmt.Appendf(nil, "entry %d with some data in it", i)}
}

// writeLog stores entries 1 to n, one batch each.
func writeLog(t *testing.T, dir string, n uint64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= n; i++ {
		if err := d.StoreLog(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
}

// newestFile returns the path of the file that is written to, and its content
// up to the last byte that isn't zero.
func newestFile(t *testing.T, dir string) (string, []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file of the log: %v", err)
	}
	newest := files[len(files)-1]
	raw, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	return newest, bytes.TrimRight(raw, "\x00")
}

func setWitness(t *testing.T, dir string, index uint64) {
	t.Helper()
	w, _, err := openWitness(filepath.Join(dir, "durable"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.set(index), w.close()); err != nil {
		t.Fatal(err)
	}
}

// readLog opens the log: it is refused with an explanation, or it holds the
// right entries, none altered, up to the index returned.
func readLog(t *testing.T, dir, after string, writeOn bool) (last uint64, refused bool) {
	t.Helper()
	d, err := openLog(dir)
	if err != nil {
		var damage *DamageError
		if !errors.As(err, &damage) {
			t.Fatalf("%s: refused without an explanation: %v", after, err)
		}
		return 0, true
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Errorf("%s: close: %v", after, err)
		}
	}()
	last = d.durable
	for i := uint64(1); i <= last; i++ {
		var got raft.Log
		if err := d.GetLog(i, &got); err != nil {
			t.Fatalf("%s: entry %d: %v", after, i, err)
		}
		if want := entry(i); !bytes.Equal(got.Data, want.Data) || got.Term != want.Term {
			t.Fatalf("%s: entry %d reads %q in term %d", after, i, got.Data, got.Term)
		}
	}
	if writeOn {
		if err := d.StoreLog(entry(last + 1)); err != nil {
			t.Fatalf("%s: the log can't be written on: %v", after, err)
		}
	}
	return last, false
}

// save returns what puts the log's files and its witness back.
func save(t *testing.T, dir string) (restore func()) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	content := map[string][]byte{}
	for _, path := range append(files, filepath.Join(dir, "durable")) {
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			raw, err = []byte{}, nil // no witness
		}
		if err != nil {
			t.Fatal(err)
		}
		content[path] = raw
	}
	return func() {
		for path, raw := range content {
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A crash during the write of the last batch: it was never acknowledged, so
// the log goes on before it.
func TestTornTailIsCutOff(t *testing.T) {
	const n = 4
	good := t.TempDir()
	writeLog(t, good, n)
	_, all := newestFile(t, good)
	before := t.TempDir()
	writeLog(t, before, n-1)
	_, acked := newestFile(t, before)
	setWitness(t, good, n-1)

	for cut := len(acked); cut <= len(all); cut++ {
		dir := copyDir(t, good)
		path, _ := newestFile(t, dir)
		tear(t, path, all, cut)
		last, refused := readLog(t, dir, fmt.Sprintf("torn at byte %d", cut), true)
		if refused || last < n-1 {
			t.Fatalf("torn at byte %d of %d: refused %t, last entry %d", cut, len(all), refused, last)
		}
		if again, refused := readLog(t, dir, "opened again", false); refused || again < n {
			t.Fatalf("torn at byte %d, written on, opened again: refused %t, last entry %d", cut, refused, again)
		}
	}
}

// tear leaves cut bytes of content, and zeros behind as the file was allocated.
func tear(t *testing.T, path string, content []byte, cut int) {
	t.Helper()
	torn := make([]byte, testSegment)
	copy(torn, content[:cut])
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The same damage after the batch was acknowledged must be noticed.
func TestLostAcknowledgedEntriesAreNoticed(t *testing.T) {
	const n = 4
	good := t.TempDir()
	writeLog(t, good, n)
	path, all := newestFile(t, good)
	for cut := range all {
		restore := save(t, good)
		tear(t, path, all, cut)
		last, refused := readLog(t, good, fmt.Sprintf("cut at byte %d", cut), false)
		restore()
		if !refused && last < n {
			t.Fatalf("cut at byte %d of %d: the log ends at %d and nobody noticed", cut, len(all), last)
		}
	}
}

// One bit at every byte: the log is refused, or nothing changed.
func TestEveryFlippedBitIsHarmlessOrNoticed(t *testing.T) {
	const n = 4
	rng := rand.New(rand.NewPCG(1, 2))
	good := t.TempDir()
	writeLog(t, good, n)
	path, all := newestFile(t, good)
	noticed := 0
	for at := range all {
		restore := save(t, good)
		flip(t, path, at, rng)
		last, refused := readLog(t, good, fmt.Sprintf("bit flipped in byte %d", at), false)
		restore()
		if !refused && last != n {
			t.Fatalf("bit flipped in byte %d: the log ends at %d and nobody noticed", at, last)
		}
		if refused {
			noticed++
		}
	}
	if noticed < len(all)/2 {
		t.Errorf("only %d of %d flips were noticed", noticed, len(all))
	}
}

// After a power failure the witness may know nothing: damage before the last
// batch is found all the same, by what later records say.
func TestDamageIsNoticedWithoutWitness(t *testing.T) {
	const n = 4
	rng := rand.New(rand.NewPCG(3, 4))
	good, shorter := t.TempDir(), t.TempDir()
	writeLog(t, good, n)
	writeLog(t, shorter, n-1)
	if err := os.Remove(filepath.Join(good, "durable")); err != nil {
		t.Fatal(err)
	}
	path, _ := newestFile(t, good)
	_, before := newestFile(t, shorter)
	for at := range before {
		restore := save(t, good)
		flip(t, path, at, rng)
		last, refused := readLog(t, good, fmt.Sprintf("bit flipped in byte %d", at), false)
		restore()
		if !refused && last < n-1 {
			t.Fatalf("bit flipped in byte %d: the log ends at %d and nobody noticed", at, last)
		}
	}
}

// Files that are full and closed are verified as well.
func TestSealedFilesAreVerified(t *testing.T) {
	const n = 200
	rng := rand.New(rand.NewPCG(5, 6))
	good := t.TempDir()
	writeLog(t, good, n)
	files, _ := filepath.Glob(filepath.Join(good, "wal", "*.wal"))
	if len(files) < 2 {
		t.Fatalf("%d entries fill %d file", n, len(files))
	}
	for range 60 {
		restore := save(t, good)
		at := rng.IntN(testSegment)
		flip(t, files[0], at, rng)
		last, refused := readLog(t, good, fmt.Sprintf("bit flipped in byte %d", at), false)
		restore()
		if !refused && last != n {
			t.Fatalf("bit flipped in byte %d: the log ends at %d", at, last)
		}
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if _, refused := readLog(t, good, "a file is missing", false); !refused {
		t.Error("a missing file went unnoticed")
	}
}

func flip(t *testing.T, path string, at int, rng *rand.Rand) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[at] ^= 1 << rng.IntN(8)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMissingListOfFilesIsNoticed(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, 3)
	if err := os.Remove(filepath.Join(dir, "wal", metaFile)); err != nil {
		t.Fatal(err)
	}
	if _, refused := readLog(t, dir, "without its list of files", false); !refused {
		t.Error("the log was taken for an empty one")
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "wal", "*.wal")); len(files) == 0 {
		t.Error("the files of the log were removed")
	}
}

func TestRemovedEntriesAreNotMissed(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, 20)
	d, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A leader's log wins over what was never committed; then a snapshot takes
	// the place of the beginning.
	err = errors.Join(d.DeleteRange(15, 20), d.StoreLog(entry(15)), d.DeleteRange(1, 10), d.close())
	if err != nil {
		t.Fatal(err)
	}
	if d, err = openLog(dir); err != nil {
		t.Fatal(err)
	}
	first, _ := d.FirstIndex()
	if first != 11 || d.durable != 15 {
		t.Errorf("the log holds %d to %d", first, d.durable)
	}
	var damage *DamageError
	if err := d.joins(9); !errors.As(err, &damage) {
		t.Errorf("a gap behind the snapshot: %v", err)
	}
	// A snapshot from the leader replaces everything.
	if err := errors.Join(d.joins(10), d.DeleteRange(11, 15), d.StoreLog(entry(101)), d.close()); err != nil {
		t.Fatal(err)
	}
	if d, err = openLog(dir); err != nil {
		t.Fatal(err)
	}
	if d.durable != 101 {
		t.Errorf("the log ends at %d", d.durable)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
}

func TestFailedWriteEndsTheServer(t *testing.T) {
	b := start(t, "only", t.TempDir(), "", t.TempDir(), func(c *Config) { c.Dev = true })
	if err := b.rep.Bootstrap([]Server{{ID: b.id, Addr: b.addr}}); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*box{b})
	if err := b.rep.disk.witness.f.Close(); err != nil { // a write that fails, as a full disk's would
		t.Fatal(err)
	}
	if _, _, err := b.rep.Propose(t.Context(), []byte("x")); err == nil {
		t.Error("an entry that could not be stored was acknowledged")
	}
	if _, _, err := b.rep.Propose(t.Context(), []byte("y")); err == nil {
		t.Error("a broken disk was asked again")
	}
	err := b.group.Wait()
	if err == nil {
		t.Error("the server goes on")
	}
	t.Log(err)
	b.group = nil
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	ca, dir := t.TempDir(), t.TempDir()
	b := start(t, "only", dir, "", ca, func(c *Config) { c.Dev = true })
	if err := b.rep.Bootstrap([]Server{{ID: b.id, Addr: b.addr}}); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*box{b})
	write(t, b, 0, 10)
	if err := b.rep.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.crash(t)
	for _, name := range []string{"state.bin", "meta.json"} {
		files, _ := filepath.Glob(filepath.Join(dir, "raft", "snapshots", "*", name))
		if len(files) != 1 {
			t.Fatalf("snapshots: %v", files)
		}
		whole, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(whole)
		bad[len(bad)/2] ^= 0x80
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var damage *DamageError
		if _, err := Open(Config{DataDir: dir, Logger: logx.Discard()}); !errors.As(err, &damage) {
			t.Errorf("with a damaged %s: %v", name, err)
		}
		if err := os.WriteFile(files[0], whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStableValuesAreChecked(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, 1)
	d, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	s := &checkedStable{store: d.wal, fail: func(err error) { t.Error(err) }, path: "here"}
	if err := errors.Join(s.check(), s.SetUint64([]byte("CurrentTerm"), 7), s.Set([]byte("LastVoteCand"), []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if term, err := s.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
		t.Errorf("term %d, error %v", term, err)
	}
	raw, _ := d.wal.Get([]byte("CurrentTerm"))
	raw[5] ^= 1
	if err := d.wal.Set([]byte("CurrentTerm"), raw); err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if err := s.check(); !errors.As(err, &damage) {
		t.Errorf("an altered term: %v", err)
	}
}
