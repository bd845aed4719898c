package jobspec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/jobspec/function"
	"github.com/steppe-run/steppe/structs"
)

// File is a named text.
type File struct {
	Name   string
	Source []byte
}

// Input is a job file with what its variables are worth.
type Input struct {
	// Filename names the source in diagnostics; "job.hcl" if empty.
	Filename string
	Source   []byte

	// Vars are values given one by one (-var). They win over all others.
	Vars map[string]string
	// VarFiles are files of values, later ones win. A name that ends in .json
	// is read as JSON.
	VarFiles []File
	// Env is an environment, NAME=value; NOMAD_VAR_x is the value of x.
	Env []string
	// Strict makes values of undeclared variables errors instead of warnings.
	Strict bool

	// AllowFS permits functions that read files. It is off where the text
	// comes from somebody else.
	AllowFS bool
	// BaseDir is what paths of these functions are relative to; the current
	// directory if empty.
	BaseDir string
}

// Parse reads a job file. The job is as written: without defaults, not
// validated. It is nil if there are errors.
func Parse(in Input) (*structs.Job, diagnose.Diagnostics) {
	if in.Filename == "" {
		in.Filename = "job.hcl"
	}
	r := diagnose.NewReport()
	body := read(in, r)
	if body == nil {
		return nil, r.Finish()
	}
	job := build(in, body, r)
	if job != nil && r.Errors > 0 {
		checkRest(r, body, job)
	}
	out := r.Finish()
	if out.HasErrors() {
		return nil, out
	}
	return job, out
}

// read turns the text into blocks; nil if their structure is in doubt: what
// follows a broken line is guesswork, and so would be its faults.
func read(in Input, r *diagnose.Report) *hclsyntax.Body {
	r.Sources[in.Filename] = string(in.Source)
	tokens, ok := r.CheckLimits(in.Filename, in.Source)
	if !ok {
		return nil
	}
	text, names := unquote(in.Source, tokens)
	file, diags := hclsyntax.ParseConfig(text, in.Filename, hcl.InitialPos)
	if file == nil {
		r.Library(diags)
		return nil
	}
	body := file.Body.(*hclsyntax.Body)
	r.Bodies[in.Filename] = body
	restore(body, names)
	if syntax(r, diags) {
		return nil
	}
	return body
}

// syntax tells what the parser found, and reports whether the file's structure
// is in doubt.
func syntax(r *diagnose.Report, diags hcl.Diagnostics) (doubtful bool) {
	for _, d := range diags {
		switch {
		case d.Severity != hcl.DiagError:
			r.Library(hcl.Diagnostics{d})
		case d.Summary == "Attribute redefined" && d.Subject != nil:
			r.Fault(*d.Subject, "Remove one.", "%s is set twice in this block", textAt(r.Sources, *d.Subject))
		case d.Summary == "Invalid multi-line string" && d.Subject != nil:
			r.Fault(*d.Subject, `Add ", or write <<EOT for a text of several lines.`, "this text has no closing quote")
			return true // all that follows is the rest of the text
		default:
			r.Library(hcl.Diagnostics{d})
			doubtful = true
		}
	}
	return doubtful
}

func textAt(sources map[string]string, at hcl.Range) string {
	text := sources[at.Filename]
	return text[min(at.Start.Byte, len(text)):min(at.End.Byte, len(text))]
}

// build evaluates a syntactically sound file.
func build(in Input, body *hclsyntax.Body, r *diagnose.Report) *structs.Job {
	d, ctx := prepare(in, body, r)
	return d.file(body, ctx)
}

// prepare readies a file's expressions, its variables among them.
func prepare(in Input, body *hclsyntax.Body, r *diagnose.Report) (*decoder, *hcl.EvalContext) {
	b := function.NewBudget()
	settle := func(src []byte, known ...string) *late {
		names := map[string]bool{}
		for _, k := range known {
			names[k] = true
		}
		return &late{report: r, budget: b, src: src, known: names}
	}
	settle(in.Source, "var", "local").body(body)
	vars := &inputs{
		report: r, functions: function.Table(function.Files{Allow: in.AllowFS, Base: in.BaseDir}, b),
		prepare: func(src []byte) *late { return settle(src) },
		vars:    map[string]*variable{}, locals: map[string]*hclsyntax.Attribute{},
	}
	vars.declare(body)
	vars.give(in)
	return &decoder{report: r, budget: b}, vars.context()
}
