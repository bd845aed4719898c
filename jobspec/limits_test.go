package jobspec

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/steppe-run/steppe/jobspec/diagnose"
)

// within a job, so that expressions are evaluated
func inJob(body string) string {
	return "job \"j\" {\n" + body + "\n}\n"
}

func many(n int, text string) string { return strings.Repeat(text, n) }

// hostile are texts that would take a naive reader minutes or all memory.
func hostile() map[string]string {
	doubling := "locals {\n  l0 = \"" + many(1000, "x") + "\"\n"
	nested := "locals {\n  l0 = [1]\n"
	for i := 1; i < 60; i++ {
		doubling += fmt.Sprintf("  l%d = \"${local.l%d}${local.l%d}\"\n", i, i-1, i-1)
		nested += fmt.Sprintf("  l%d = [local.l%d, local.l%d]\n", i, i-1, i-1)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	return map[string]string{
		"too large":      many(diagnose.MaxInputBytes+1, "x"),
		"attributes":     many(diagnose.MaxInputBytes/4, "a=1\n"),
		"blocks":         many(200_000, "a {}\n"),
		"one long text":  inJob("name = \"" + many(diagnose.MaxInputBytes-100, "x") + "\""),
		"lines":          inJob("name = <<E\n" + many(500_000, "lorem ipsum dolor\n") + "E\n"),
		"dollars":        inJob("name = \"" + many(100_000, "$$") + "\""),
		"brackets":       inJob("name = " + many(100_000, "[")),
		"parentheses":    inJob("name = " + many(100_000, "(")),
		"minus":          inJob("name = " + many(100_000, "-") + "1"),
		"conditions":     inJob("name = " + many(30_000, "true?1:") + "1"),
		"sums":           inJob("name = 1" + many(70_000, "+1")),
		"interpolations": inJob("name = \"" + many(40_000, "${1}") + "\""),
		"nested blocks":  many(5000, "a {\n"),
		"quotes":         inJob("name = " + many(100_000, "\"a\n")),
		"not text":       many(diagnose.MaxInputBytes/2, "\xff\x00"),
		"duplicates":     inJob(many(30_000, "a=1\n")),
		"loops":          inJob("name = join(\"\", [for a in range(1000): join(\"\", [for b in range(1000): join(\"\", [for c in range(1000): \"x\"])])])"),
		"doubling":       doubling + "}\n" + inJob("name = local.l59"),
		"doubling lists": nested + "}\n" + inJob("name = length(local.l59)"),
		"product":        inJob("name = length(setproduct(range(1000), range(1000), range(1000)))"),
		"format width":   inJob("name = format(\"%1000000000d\", 1)"),
		"format star":    inJob("name = format(\"%*d\", 1000000000, 1)"),
		"indent":         inJob("name = indent(1000000000, \"a\\nb\")"),
		"replace":        inJob("name = replace(\"" + many(20_000, "a") + "\", \"a\", \"" + many(20_000, "b") + "\")"),
		"regex":          inJob("name = regex_replace(\"" + many(20_000, "a") + "\", \"a*\", \"" + many(20_000, "b") + "\")"),
		"yaml bomb":      "locals {\n  y = yamldecode(<<E\n" + bomb + "E\n)\n}\n" + inJob("name = jsonencode(local.y)"),
		"deep json":      inJob("name = length(jsondecode(\"" + many(500_000, "[") + "\"))"),
		"deep yaml":      inJob("name = length(yamldecode(\"" + many(500_000, "[") + "\"))"),
		"big number":     inJob("name = parseint(\"" + many(500_000, "9") + "\", 10)"),
		"huge exponent":  inJob("priority = 1e999999999"),
		"power":          inJob("priority = pow(9, 999999999)"),
		"many groups":    inJob("dynamic \"group\" {\n for_each = range(1000)\n content {\n dynamic \"task\" {\n for_each = range(1000)\n content {\n}\n}\n}\n}"),
		"hashes":         inJob("name = join(\"\", [for i in range(1000): bcrypt(\"x\", 12)])"),
		"self reference": "locals {\n" + many(1, "  a = local.a\n") + "}\n" + inJob(""),
	}
}

// patience is in time of the processor, so that a busy machine changes little.
const patience = 4 * time.Second

func processTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestHostileInputEndsSoon(t *testing.T) {
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			start := processTime(t)
			in := Input{Source: []byte(text)}
			if len(text) < 1<<20 {
				in.VarFiles = []File{{"values.hcl", in.Source}}
			}
			_, diags := Parse(in)
			took := processTime(t) - start
			if took > patience {
				t.Errorf("took %s", took)
			}
			if !diags.HasErrors() && name != "one long text" && name != "conditions" && name != "minus" {
				t.Errorf("accepted: %d diagnostics", len(diags))
			}
			if n := len(diags.Error()); n > 200_000 {
				t.Errorf("%d bytes of diagnostics", n)
			}
			t.Logf("%s, %d diagnostics", took, len(diags))
		})
	}
}

func TestLargeButOrdinaryIsFine(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("job \"big\" {\n")
	for g := range 200 {
		fmt.Fprintf(&b, "group \"g%d\" {\n", g)
		for k := range 5 {
			fmt.Fprintf(&b, "task \"t%d\" {\ndriver = \"docker\"\nconfig {\nimage = \"x:${NOMAD_META_v}\"\nargs = [\"a\", \"b\"]\n}\nenv {\nA = \"1\"\n}\n}\n", k)
		}
		b.WriteString("}\n")
	}
	b.WriteString("}\n")
	job, diags := Parse(Input{Source: b.Bytes()})
	if len(diags) > 0 || len(job.TaskGroups) != 200 {
		t.Fatalf("%s", diags.Error())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Example(true)), []byte("count = 3"))
	f.Add([]byte(Example(false)), []byte(`{"count": 2}`))
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range cases {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(section(archive, "job.hcl")), []byte(section(archive, "values.hcl")))
	}
	f.Fuzz(func(t *testing.T, src, values []byte) {
		job, diags := Parse(Input{Source: src, VarFiles: []File{{"v.hcl", values}, {"v.json", values}}, Strict: len(src)%2 == 0})
		if (job == nil) != diags.HasErrors() {
			t.Fatalf("job %v, diagnostics %s", job, diags.Error())
		}
		_ = diags.Error()
		if job != nil {
			job.Canonicalize()
			job.ImplyConstraints()
			_ = job.Validate()
		}
		_, _ = ParseJSON("", src)
	})
}
