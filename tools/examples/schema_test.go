package examples

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/steppe-run/steppe/structs"
)

const schemaPage = "../../docs/steppe-api.schema.json"

// TestSchema compares the schema of our own routes with the types that they
// send.
func TestSchema(t *testing.T) {
	s := &schemas{defs: map[string]any{}, notes: notes(t)}
	for _, root := range []reflect.Type{
		reflect.TypeFor[structs.JobWhy](), reflect.TypeFor[structs.AllocWhy](), reflect.TypeFor[structs.NodeWhyNot](),
		reflect.TypeFor[structs.CapacityReport](), reflect.TypeFor[structs.PlanOutcome](),
		reflect.TypeFor[structs.DrainPlan](), reflect.TypeFor[structs.ServerFigures](), reflect.TypeFor[structs.HistoryPage](),
		reflect.TypeFor[structs.BrakeStatus](), reflect.TypeFor[structs.BrakeReleaseResponse](),
	} {
		s.of(root)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "Answers of the routes that only Steppe has",
		"description": "GET /v1/steppe/job/:job_id/why answers with JobWhy, GET /v1/steppe/allocation/:alloc_id/why with AllocWhy, " +
			"GET /v1/steppe/node/:node_id/why-not/:job_id with NodeWhyNot, GET /v1/steppe/node/:node_id/drain-plan with DrainPlan, POST /v1/steppe/capacity (a body {\"Job\": ...}) with CapacityReport, " +
			"GET and PUT /v1/steppe/figures with ServerFigures, GET /v1/steppe/history with HistoryPage, GET /v1/steppe/brake with BrakeStatus, PUT /v1/steppe/brake/release with BrakeReleaseResponse. " +
			"PlanOutcome is the Outcome of POST /v1/job/:job_id/plan.",
		"$defs": s.defs,
	}); err != nil {
		t.Fatal(err)
	}
	if *write {
		if err := os.WriteFile(schemaPage, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(schemaPage); err != nil || !bytes.Equal(got, text.Bytes()) {
		t.Errorf("docs/steppe-api.schema.json is out of date: go test ./tools/examples -write (%v)", err)
	}
}

// schemas collects the schema of each type once.
type schemas struct {
	defs  map[string]any
	notes map[string]string // by type, and by type and field
}

// of returns the schema of a type; a struct is defined by its name.
func (s *schemas) of(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{s.of(t.Elem()), map[string]any{"type": "null"}}}
	case reflect.Slice:
		item := t.Elem()
		if item.Kind() == reflect.Pointer {
			item = item.Elem() // lists hold no null
		}
		return map[string]any{"type": []string{"array", "null"}, "items": s.of(item)}
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": s.of(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Struct:
		if isContracts(t) {
			return map[string]any{"type": "object"}
		}
		s.define(t)
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	}
	return map[string]any{"type": "integer"}
}

// isContracts reports whether a type is one of the public contract's, which is
// described there.
func isContracts(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[structs.Job](), reflect.TypeFor[structs.Evaluation](), reflect.TypeFor[structs.Allocation](), reflect.TypeFor[structs.Deployment]():
		return true
	}
	return false
}

func (s *schemas) define(t reflect.Type) {
	if s.defs[t.Name()] != nil {
		return
	}
	properties, required := map[string]any{}, []string{}
	def := map[string]any{"type": "object", "properties": properties}
	s.defs[t.Name()] = def
	if note := s.notes[t.Name()]; note != "" {
		def["description"] = note
	}
	for i := range t.NumField() {
		f := t.Field(i)
		p := s.of(f.Type)
		if note := s.notes[t.Name()+"."+f.Name]; note != "" {
			p["description"] = note
		}
		properties[f.Name] = p
		if !strings.Contains(f.Tag.Get("json"), "omitempty") {
			required = append(required, f.Name)
		}
	}
	def["required"] = required
}

// notes reads what the source says of types and fields.
func notes(t *testing.T) map[string]string {
	out := map[string]string{}
	for _, path := range []string{"../../structs/explain.go", "../../structs/drainplan.go", "../../structs/figures.go", "../../structs/history.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		note(out, file)
	}
	return out
}

func note(out map[string]string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			return true
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		out[spec.Name.Name] = oneLine(decl.Doc)
		if fields, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					out[spec.Name.Name+"."+name.Name] = oneLine(f.Doc)
				}
			}
		}
		return false
	})
}

func oneLine(doc *ast.CommentGroup) string { return strings.Join(strings.Fields(doc.Text()), " ") }
