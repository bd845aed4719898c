package jobspec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxErrors bounds how many errors are told; more help nobody.
const maxErrors = 100

// report collects diagnostics and knows the files they are about.
type report struct {
	list    Diagnostics
	errors  int
	sources map[string]string
	bodies  map[string]*hclsyntax.Body
	// uses are the names that each expression of the files needs.
	uses map[hclsyntax.Expression][]hcl.Traversal
	// lenient are the expressions that may name what isn't there.
	lenient map[hclsyntax.Expression]bool
}

func newReport() *report {
	return &report{
		sources: map[string]string{}, bodies: map[string]*hclsyntax.Body{},
		uses: map[hclsyntax.Expression][]hcl.Traversal{}, lenient: map[hclsyntax.Expression]bool{},
	}
}

// full reports whether nothing more will be told.
func (r *report) full() bool { return r.errors >= maxErrors }

func (r *report) add(d Diagnostic) {
	if d.Severity == SeverityError {
		if r.errors++; r.errors > maxErrors {
			return
		}
	}
	r.list = append(r.list, d)
}

// finish returns what was collected.
func (r *report) finish() Diagnostics {
	out := r.list.sorted()
	if r.errors > maxErrors {
		out = append(out, Diagnostic{
			Severity: SeverityError,
			Summary:  fmt.Sprintf("%d more errors", r.errors-maxErrors),
		})
	}
	return out
}

// fault is an error at a place; suggestion may be empty.
func (r *report) fault(at hcl.Range, suggestion, format string, args ...any) {
	r.place(at, Diagnostic{Severity: SeverityError, Summary: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// whole is an error of no place in particular.
func (r *report) whole(file, suggestion, format string, args ...any) {
	r.add(Diagnostic{Severity: SeverityError, File: file, Summary: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

func (r *report) place(at hcl.Range, d Diagnostic) {
	d.File, d.Line, d.Column = at.Filename, at.Start.Line, at.Start.Column
	d.EndColumn = at.End.Column
	d.Source = lineAt(r.sources[at.Filename], at.Start)
	if at.End.Line != at.Start.Line {
		d.EndColumn = len([]rune(d.Source)) + 1
	}
	if body := r.bodies[at.Filename]; body != nil {
		d.Within = within(body, at.Start.Byte, at)
	}
	r.add(d)
}

// library takes over what the HCL library found.
func (r *report) library(diags hcl.Diagnostics) {
	for _, d := range diags {
		if r.full() {
			r.errors++
			continue
		}
		out := Diagnostic{Severity: SeverityError, Summary: lowerFirst(strings.TrimSuffix(d.Summary, ".")), Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			out.Severity = SeverityWarning
		}
		if d.Subject == nil {
			r.add(out)
			continue
		}
		r.place(*d.Subject, out)
	}
}

// lowerFirst writes a sentence so that it can follow "Error: ".
func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] < 'A' || s[1] > 'Z') {
		return string(s[0]+'a'-'A') + s[1:]
	}
	return s
}

func lineAt(source string, pos hcl.Pos) string {
	if pos.Byte > len(source) {
		return ""
	}
	start := strings.LastIndexByte(source[:pos.Byte], '\n') + 1
	line, _, _ := strings.Cut(source[start:], "\n")
	return strings.ToValidUTF8(strings.TrimRight(line, "\r"), "\uFFFD")
}

// within names the blocks around a place. The block whose head the place is
// in doesn't count as around it.
func within(body *hclsyntax.Body, at int, subject hcl.Range) string {
	var names []string
	for {
		inner := blockAt(body, at)
		if inner == nil || inner.DefRange().ContainsPos(subject.Start) {
			return strings.Join(names, " > ")
		}
		names = append(names, blockName(inner))
		body = inner.Body
	}
}

func blockAt(body *hclsyntax.Body, at int) *hclsyntax.Block {
	for _, b := range body.Blocks {
		if r := b.Range(); r.Start.Byte <= at && at < r.End.Byte+1 {
			return b
		}
	}
	return nil
}

func blockName(b *hclsyntax.Block) string {
	name := b.Type
	for _, l := range b.Labels {
		name += fmt.Sprintf(" %q", l)
	}
	return name
}
