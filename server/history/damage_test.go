package history

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-run/steppe/structs"
)

// oneSegment returns the bytes of a history's only segment.
func oneSegment(t testing.TB, dir string) (path string, data []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	if data, err = os.ReadFile(files[0]); err != nil {
		t.Fatal(err)
	}
	return files[0], data
}

// The end of the file is lost at every byte: what was whole is kept, the log
// brings the rest again, nothing twice.
func TestATornEndIsWrittenAnew(t *testing.T) {
	w := newWorld(t)
	for i := range uint64(4) {
		w.apply(w.evals(i+1, 2))
		w.flush()
	}
	want := ids(w.find(Query{}))
	path, whole := oneSegment(t, w.dir)
	w.h.close()
	for n := range whole {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		w.open()
		for i := range uint64(4) {
			w.apply(w.evals(i+1, 2))
		}
		w.flush()
		w.crash()
		if got := ids(w.find(Query{})); !slices.Equal(got, want) {
			t.Fatalf("cut at byte %d: %v", n, got)
		}
		if gaps := w.gaps(); len(gaps) != 0 {
			t.Fatalf("cut at byte %d: gaps %v", n, gaps)
		}
		w.h.close()
	}
	w.open()
	w.h.close()
}

// Any byte is changed: it never panics, what is found is true, and what isn't
// found lies in a gap that is told, or comes again with the log.
func TestADamagedByteIsToldOrHealed(t *testing.T) {
	w := newWorld(t)
	for i := range uint64(5) {
		w.apply(w.evals(i+1, 2))
		w.flush()
	}
	want := w.find(Query{Objects: true})
	path, whole := oneSegment(t, w.dir)
	w.h.close()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range whole {
		data := slices.Clone(whole)
		data[n] ^= 1 << random.IntN(8)
		for _, sealed := range []bool{false, true} {
			checkDamaged(t, w, path, data, n, sealed)
			for i, e := range w.find(Query{Objects: true}) {
				at := slices.IndexFunc(want, func(o *structs.HistoryEntry) bool { return o.Index == e.Index && o.Seq == e.Seq })
				if e.Index <= 5 && (at < 0 || e.Evaluation.ID != want[at].Evaluation.ID) {
					t.Fatalf("byte %d: entry %d is %+v", n, i, e)
				}
			}
			w.h.close()
		}
	}
	w.open()
	w.h.close()
}

// checkDamaged opens a history whose segment is damaged; a sealed one is followed
// by another.
func checkDamaged(t *testing.T, w *world, path string, data []byte, n int, sealed bool) {
	t.Helper()
	for _, name := range []string{path, segmentPath(w.dir, 2), segmentPath(w.dir, 3)} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if sealed {
		next, _, err := w.pack(frameHead{Base: after(5), Mark: after(6)})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(segmentPath(w.dir, 2), append([]byte(segmentMagic), next...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.open()
	for i := range uint64(5) {
		w.apply(w.evals(i+1, 2))
	}
	w.flush()
	got := ids(w.find(Query{}))
	gaps := ranges(w.gaps())
	for i := range uint64(5) {
		for seq := range uint32(2) {
			at := Position{i + 1, seq}
			if !slices.Contains(got, at.String()) && !slices.ContainsFunc(gaps, func(r Range) bool { return r.After.before(at) && !r.UpTo.before(at) }) {
				t.Fatalf("byte %d (sealed %v): %s is lost without a word; found %v, gaps %v", n, sealed, at, got, gaps)
			}
		}
	}
	if len(got) < 8 {
		t.Fatalf("byte %d (sealed %v): one byte took %d records", n, sealed, 10-len(got))
	}
}

func TestALostSegmentIsAGap(t *testing.T) {
	w := newWorld(t)
	for i := range uint64(3) {
		w.apply(w.evals(i+1, 2))
		w.flush()
		if err := w.h.file.Close(); err != nil {
			t.Fatal(err)
		}
		w.h.file = nil // the next frame begins a new segment
	}
	w.h.close()
	if err := os.Remove(segmentPath(w.dir, 2)); err != nil {
		t.Fatal(err)
	}
	w.open()
	if got := w.gaps(); len(got) != 1 || got[0] != (Range{after(1), after(2)}) {
		t.Errorf("gaps %v", got)
	}
	w.h.close()
}

// Random lives: applying, flushing, crashing with the log replayed from anywhere
// before, snapshots that jump ahead, full queues. Whatever left the state is
// found once, or lies in a gap; what was never dropped isn't in one.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.h.close()
		w.cfg.Queue = 64
		w.open()
		defer func() { w.h.close() }()
		sizes := map[uint64]int{} // of entries that were applied here
		var index, synced uint64
		hurt := false
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			default:
				index++
				sizes[index] = rapid.IntRange(0, 30).Draw(rt, "size")
				w.apply(w.evals(index, sizes[index]))
			case 6, 7:
				w.sync(index)
				synced = index
			case 8: // a crash: the log is replayed from a snapshot that was synced
				hurt = hurt || w.h.Counts().Dropped > 0
				w.h.close()
				w.open()
				from := uint64(rapid.IntRange(0, int(synced)).Draw(rt, "replayed from"))
				w.h.Restored(from)
				for i := from + 1; i <= index; i++ {
					w.apply(w.evals(i, sizes[i]))
				}
			case 9:
				index += uint64(rapid.IntRange(1, 5).Draw(rt, "jump"))
				w.h.Restored(index)
				synced, hurt = index, true
				w.sync(index)
			}
		}
		if rapid.Bool().Draw(rt, "flushed") {
			w.flush()
		}
		found := w.find(Query{Limit: 50})
		seen := map[Position]bool{}
		last := after(1 << 62)
		for _, e := range found {
			at := Position{e.Index, e.Seq}
			if seen[at] || !at.before(last) || int(at.Seq) >= sizes[at.Index] {
				rt.Fatalf("%v: twice, out of order or made up: %v", at, ids(found))
			}
			seen[at], last = true, at
		}
		page, err := w.h.Find(t.Context(), Query{})
		if err != nil {
			rt.Fatal(err)
		}
		for i, size := range sizes {
			for s := range size {
				at := Position{i, uint32(s)}
				inGap := slices.ContainsFunc(page.Gaps, func(r Range) bool { return r.After.before(at) && !r.UpTo.before(at) })
				if !seen[at] && !inGap {
					rt.Fatalf("%v is lost without a word: gaps %v, found %v", at, page.Gaps, ids(found))
				}
			}
		}
		if w.h.Counts().Dropped == 0 && !hurt && len(page.Gaps) > 0 {
			rt.Fatalf("a gap for no reason: %v", page.Gaps)
		}
	})
}

func FuzzFrames(f *testing.F) {
	w := newWorld(f)
	w.apply(w.evals(1, 3))
	w.flush()
	_, data := oneSegment(f, w.dir)
	w.h.close()
	f.Add(data)
	f.Add(data[len(segmentMagic):])
	f.Add([]byte(segmentMagic + frameMagic + "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x"+segmentSuffix)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, _, end, err := openSegment(path, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		if end > int64(len(data)) {
			t.Fatalf("good up to %d of %d bytes (%d frames)", end, len(data), len(s.frames))
		}
		_, _ = decodeRecords(data) // any bytes: an error, or records
	})
}
