package jobspec

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

// testdata/fields.txt lists what users know: a type's words and the fields of
// the API that they stand for. The schema knows each of them, and nothing else.
func TestSchemaKnowsEveryWord(t *testing.T) {
	data, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]reflect.Type{}
	for typ := range schemas() {
		byName[typ.Name()] = typ
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		parts := strings.Fields(line)
		typ := byName[parts[0]]
		if typ == nil {
			t.Errorf("no type %s in the schema", parts[0])
			continue
		}
		for _, p := range parts[1:] {
			word, field, _ := strings.Cut(p, "=")
			listed[parts[0]+"."+word] = true
			tbl := tableOf(typ)
			if word == "<label>" {
				if tbl.label < 0 || typ.Field(tbl.label).Name != field {
					t.Errorf("%s: the label must be %s", typ.Name(), field)
				}
				continue
			}
			e := tbl.byWord[word]
			if e == nil {
				t.Errorf("%s: the word %s is unknown", typ.Name(), word)
				continue
			}
			if got := typ.Field(e.field).Name; got != field {
				t.Errorf("%s: %s is field %s, want %s", typ.Name(), word, got, field)
			}
		}
	}
	for typ, tbl := range schemas() {
		for _, e := range tbl.entries {
			if !listed[typ.Name()+"."+e.word] {
				t.Errorf("%s: the word %s is listed nowhere: add it to testdata/fields.txt, or exclude it in schema.go", typ.Name(), e.word)
			}
		}
	}
}

// What the table of words names must exist: a renamed field must not leave a
// dead entry behind.
func TestWordsNameFields(t *testing.T) {
	byName := map[string]reflect.Type{}
	for typ := range schemas() {
		byName[typ.Name()] = typ
	}
	for line := range strings.Lines(strings.TrimSpace(words)) {
		parts := strings.Fields(line)
		typ := byName[parts[0]]
		if typ == nil {
			t.Errorf("type %s is not part of a job", parts[0])
			continue
		}
		for _, p := range parts[1:] {
			field, _, _ := strings.Cut(p, "=")
			if _, ok := typ.FieldByName(field); !ok {
				t.Errorf("%s has no field %s", typ.Name(), field)
			}
		}
	}
	if tableOf(reflect.TypeFor[structs.Job]()) == nil {
		t.Error("no table of Job")
	}
}
