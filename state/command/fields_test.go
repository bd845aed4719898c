package command

import (
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A server of another version skips the fields that it doesn't know, and makes
// something else of the entry than the others. So a kind whose fields change needs
// a new level; what is recorded tells that they did. STEPPE_REWRITE=1 records them,
// once the level is right.
func TestAKindWhoseFieldsChangeGetsANewLevel(t *testing.T) {
	var lines []string
	for _, c := range samples() {
		h := fnv.New64a()
		describe(h, reflect.TypeOf(c), map[reflect.Type]bool{})
		lines = append(lines, fmt.Sprintf("%s level %d fields %016x\n", reflect.TypeOf(c).Elem().Name(), LevelOf(c), h.Sum64()))
	}
	slices.Sort(lines)
	got, path := strings.Join(lines, ""), filepath.Join("testdata", "fields.txt")
	if os.Getenv("STEPPE_REWRITE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(got) {
		if !strings.Contains(string(want), line) {
			t.Errorf("not as recorded: %sIs Level above that of the last release, and is it the level of this kind? Then record it.", line)
		}
	}
	if n := strings.Count(string(want), "\n"); n != len(lines) {
		t.Errorf("%d kinds are recorded, there are %d", n, len(lines))
	}
}

// describe writes what of a type stands in an entry: names and types of fields, all
// the way down.
func describe(w io.Writer, t reflect.Type, seen map[reflect.Type]bool) {
	_, _ = fmt.Fprintf(w, "%s %s\n", t.Kind(), t.Name()) // a sum takes everything
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		describe(w, t.Elem(), seen)
	case reflect.Map:
		describe(w, t.Key(), seen)
		describe(w, t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				_, _ = fmt.Fprintf(w, "%s %s %s\n", f.Name, f.Tag.Get("codec"), f.Tag.Get("json"))
				describe(w, f.Type, seen)
			}
		}
	}
}
