package diagnose

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxErrors bounds how many errors are told; more help nobody.
const maxErrors = 100

// Report collects diagnostics and knows the files they are about.
type Report struct {
	list    Diagnostics
	Errors  int
	Sources map[string]string
	Bodies  map[string]*hclsyntax.Body
	// Uses are the names that each expression of the files needs.
	Uses map[hclsyntax.Expression][]hcl.Traversal
	// Lenient are the expressions that may name what isn't there.
	Lenient map[hclsyntax.Expression]bool
}

// NewReport makes a report that knows no file yet: put texts into Sources and
// what was parsed of them into Bodies.
func NewReport() *Report {
	return &Report{
		Sources: map[string]string{}, Bodies: map[string]*hclsyntax.Body{},
		Uses: map[hclsyntax.Expression][]hcl.Traversal{}, Lenient: map[hclsyntax.Expression]bool{},
	}
}

// full reports whether nothing more will be told.
func (r *Report) full() bool { return r.Errors >= maxErrors }

// Add records a diagnostic as it is.
func (r *Report) Add(d Diagnostic) {
	if d.Severity == SeverityError {
		if r.Errors++; r.Errors > maxErrors {
			return
		}
	}
	r.list = append(r.list, d)
}

// Lines are the lines of which something was told.
func (r *Report) Lines() []int {
	var out []int
	for _, d := range r.list {
		out = append(out, d.Line)
	}
	return out
}

// Finish returns what was collected.
func (r *Report) Finish() Diagnostics {
	out := r.list.sorted()
	if r.Errors > maxErrors {
		out = append(out, Diagnostic{
			Severity: SeverityError,
			Summary:  fmt.Sprintf("%d more errors", r.Errors-maxErrors),
		})
	}
	return out
}

// Fault is an error at a place; suggestion may be empty.
func (r *Report) Fault(at hcl.Range, suggestion, format string, args ...any) {
	r.Place(at, Diagnostic{Severity: SeverityError, Summary: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// Whole is an error of no place in particular.
func (r *Report) Whole(file, suggestion, format string, args ...any) {
	r.Add(Diagnostic{Severity: SeverityError, File: file, Summary: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// Place records a diagnostic about a place, and shows the line.
func (r *Report) Place(at hcl.Range, d Diagnostic) {
	d.File, d.Line, d.Column = at.Filename, at.Start.Line, at.Start.Column
	d.EndColumn = at.End.Column
	d.Source = lineAt(r.Sources[at.Filename], at.Start)
	if at.End.Line != at.Start.Line {
		d.EndColumn = len([]rune(d.Source)) + 1
	}
	if body := r.Bodies[at.Filename]; body != nil {
		d.Within = within(body, at.Start.Byte, at)
	}
	r.Add(d)
}

// Library takes over what the HCL library found.
func (r *Report) Library(diags hcl.Diagnostics) {
	for _, d := range diags {
		if r.full() {
			r.Errors++
			continue
		}
		out := Diagnostic{Severity: SeverityError, Summary: LowerFirst(strings.TrimSuffix(d.Summary, ".")), Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			out.Severity = SeverityWarning
		}
		if d.Subject == nil {
			r.Add(out)
			continue
		}
		r.Place(*d.Subject, out)
	}
}

// LowerFirst writes a sentence so that it can follow "Error: ".
func LowerFirst(s string) string {
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
