package jobspec

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/steppe-run/steppe/structs"
)

var rewrite = flag.Bool("rewrite", false, "write the answers of testdata/*.txtar anew")

// Each archive of testdata is one case: job.hcl, perhaps values.hcl (a
// -var-file), values.json, vars (name=value a line), env, and what comes of
// it: diagnostics, and job.json if there is a job. A comment line that says
// "canonical" asks for the canonical job.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			input := inputOf(archive)
			job, diags := Parse(input)
			if job == nil != diags.HasErrors() {
				t.Errorf("job is %v, but HasErrors says %v", job, diags.HasErrors())
			}
			if job != nil && strings.Contains(string(archive.Comment), "check") {
				diags = append(diags, Check(input, job)...)
			}
			got := map[string]string{"diagnostics": diags.Error()}
			if len(diags) > 0 {
				got["diagnostics"] += "\n"
			}
			if job != nil {
				if strings.Contains(string(archive.Comment), "canonical") {
					job.Canonicalize()
				}
				got["job.json"] = compact(t, job)
			}
			if *rewrite {
				save(t, name, archive, got)
				return
			}
			for part, text := range got {
				if d := cmp.Diff(section(archive, part), text); d != "" {
					t.Errorf("%s (-want +got):\n%s", part, d)
				}
			}
			if job == nil && section(archive, "job.json") != "" {
				t.Error("there is no job")
			}
		})
	}
}

func inputOf(a *txtar.Archive) Input {
	in := Input{Filename: "job.hcl", Source: []byte(section(a, "job.hcl")), Vars: map[string]string{}, Strict: true}
	if strings.Contains(string(a.Comment), "lenient") {
		in.Strict = false
	}
	for _, name := range []string{"values.hcl", "values.json"} {
		if text := section(a, name); text != "" {
			in.VarFiles = append(in.VarFiles, File{name, []byte(text)})
		}
	}
	for line := range strings.Lines(section(a, "vars")) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		in.Vars[name] = value
	}
	for line := range strings.Lines(section(a, "env")) {
		in.Env = append(in.Env, strings.TrimSuffix(line, "\n"))
	}
	return in
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func save(t *testing.T, name string, a *txtar.Archive, got map[string]string) {
	t.Helper()
	var kept []txtar.File
	for _, f := range a.Files {
		if f.Name != "diagnostics" && f.Name != "job.json" {
			kept = append(kept, f)
		}
	}
	for _, part := range []string{"diagnostics", "job.json"} {
		if got[part] != "" {
			kept = append(kept, txtar.File{Name: part, Data: []byte(got[part])})
		}
	}
	a.Files = kept
	if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// compact writes a job as JSON without what it doesn't say.
func compact(t *testing.T, job *structs.Job) string {
	t.Helper()
	data, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(prune(tree), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if e = prune(e); e != nil && e != "" && e != false && e != json.Number("0") {
				out[k] = e
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}

func TestExamplesAreValid(t *testing.T) {
	for _, short := range []bool{true, false} {
		job, diags := Parse(Input{Source: []byte(Example(short)), Strict: true})
		if len(diags) > 0 {
			t.Fatalf("short=%v:\n%s", short, diags.Error())
		}
		job.Canonicalize()
		if err := job.Validate(); err != nil {
			t.Errorf("short=%v: %v", short, err)
		}
		if w := job.Warnings(); len(w) > 0 {
			t.Errorf("short=%v: %v", short, w)
		}
	}
}
