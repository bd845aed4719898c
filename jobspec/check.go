package jobspec

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/structs"
)

// Check validates a job that Parse made of the same input, and says where in
// the file each fault and warning stands. The job itself stays as written.
func Check(in Input, job *structs.Job) diagnose.Diagnostics {
	if in.Filename == "" {
		in.Filename = "job.hcl"
	}
	r := diagnose.NewReport()
	r.Sources[in.Filename] = string(in.Source)
	l := &locator{report: r, body: jobBody(r, in)}
	l.rules(job)
	return r.Finish()
}

// checkRest looks for broken rules in what could be read of a file with
// faults: of attributes where no fault was told, and of blocks without any
// fault inside, for what couldn't be read looks like what is missing.
func checkRest(r *diagnose.Report, body *hclsyntax.Body, job *structs.Job) {
	l := &locator{report: r, body: jobOf(body), told: map[int]bool{}}
	for _, line := range r.Lines() {
		l.told[line] = true
	}
	l.rules(job)
}

func (l *locator) rules(job *structs.Job) {
	canonical := job.Clone()
	canonical.Canonicalize()
	var invalid *structs.ValidationError
	if err := canonical.Validate(); errors.As(err, &invalid) {
		for _, f := range invalid.Faults {
			l.tell(diagnose.SeverityError, f.Path, f.Text)
		}
	}
	for _, w := range canonical.WarningFaults() {
		l.tell(diagnose.SeverityWarning, w.Path, w.Text)
	}
}

// locator finds the places that faults are about.
type locator struct {
	report *diagnose.Report
	body   *hclsyntax.Block // the job
	// told, if not nil, are the lines of which enough was said.
	told map[int]bool
}

// jobBody parses the file once more; nil if it isn't HCL.
func jobBody(r *diagnose.Report, in Input) *hclsyntax.Block {
	tokens, ok := r.CheckLimits(in.Filename, in.Source)
	if !ok {
		return nil
	}
	text, names := unquote(in.Source, tokens)
	file, _ := hclsyntax.ParseConfig(text, in.Filename, hcl.InitialPos) // Parse told of errors
	if file == nil {
		return nil
	}
	body := file.Body.(*hclsyntax.Body)
	restore(body, names)
	r.Bodies[in.Filename] = body
	return jobOf(body)
}

func jobOf(body *hclsyntax.Body) *hclsyntax.Block {
	for _, b := range body.Blocks {
		if b.Type == "job" {
			return b
		}
	}
	return nil
}

func (l *locator) tell(severity diagnose.Severity, path, text string) {
	d := diagnose.Diagnostic{Severity: severity, Summary: strings.TrimPrefix(path+": "+text, ": ")}
	if l.body == nil {
		l.report.Add(d)
		return
	}
	at, within, rest := l.find(path)
	for line := range l.told {
		if within.Start.Line <= line && line <= within.End.Line {
			return
		}
	}
	d.Summary = strings.TrimPrefix(rest+": "+text, ": ")
	l.report.Place(at, d)
}

// find follows a path such as `group "web" > network > mode` as far as the
// file has it. within is the whole of what stands there, rest what the place
// doesn't show: the part of the path that the file lacks, or its last word.
func (l *locator) find(path string) (at, within hcl.Range, rest string) {
	block := l.body
	within = block.Range()
	if path == "" {
		return block.DefRange(), within, ""
	}
	steps := strings.Split(path, " > ")
	for i, step := range steps {
		if a := block.Body.Attributes[step]; a != nil && i == len(steps)-1 {
			return a.SrcRange, a.SrcRange, step
		}
		inner := findBlock(block.Body, step)
		if inner == nil {
			return block.DefRange(), within, strings.Join(steps[i:], " > ")
		}
		block, within = inner, hcl.RangeBetween(inner.Range(), lastLike(block.Body, inner).Range())
	}
	if last := steps[len(steps)-1]; isWord(last) {
		return block.DefRange(), within, last
	}
	return block.DefRange(), within, ""
}

// stepParts are the parts of a step of a path: a word, and perhaps a name or a number from 1.
var stepParts = regexp.MustCompile(`^([a-z_]+)(?: (".*"|[0-9]+))?$`)

func isWord(step string) bool {
	m := stepParts.FindStringSubmatch(step)
	return m != nil && m[2] == ""
}

func findBlock(body *hclsyntax.Body, step string) *hclsyntax.Block {
	m := stepParts.FindStringSubmatch(step)
	if m == nil {
		return nil
	}
	number, err := strconv.Atoi(m[2])
	if err != nil {
		number = 1
	}
	name, _ := strconv.Unquote(m[2])
	var same []*hclsyntax.Block
	for _, b := range body.Blocks {
		if b.Type != m[1] {
			continue
		}
		same = append(same, b)
		if name != "" && nameOf(b) == name {
			return b
		}
	}
	labelled := len(same) > 0 && len(same[0].Labels) > 0
	if number > len(same) || name != "" && labelled || name != "" && len(same) > 1 {
		return nil
	}
	return same[number-1]
}

// lastLike returns the last block of the same type and labels as one of them.
func lastLike(body *hclsyntax.Body, like *hclsyntax.Block) *hclsyntax.Block {
	last := like
	for _, b := range body.Blocks {
		if b.Type == like.Type && len(b.Labels) > 0 && slices.Equal(b.Labels, like.Labels) {
			last = b
		}
	}
	return last
}

// nameOf is what a block is called in paths: its label, or the attribute that
// names it.
func nameOf(b *hclsyntax.Block) string {
	if len(b.Labels) > 0 {
		return b.Labels[0]
	}
	for _, word := range []string{"name", "volume"} {
		if a := b.Body.Attributes[word]; a != nil {
			if v, diags := a.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				return v.AsString()
			}
		}
	}
	return ""
}
