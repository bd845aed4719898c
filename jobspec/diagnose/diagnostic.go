// Package diagnose tells what is wrong with a text: file, line, column, the
// offending line, the blocks around it and what was probably meant. It refuses
// texts that are too large for the parser.
//
// It must not know jobs, only HCL's syntax. Begin reading at Diagnostic, then
// Report.
package diagnose

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Severity says whether a diagnostic makes the job unusable.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Diagnostic is one thing to tell about a job file.
type Diagnostic struct {
	Severity Severity
	// Summary says what is wrong, in one line.
	Summary string
	// Detail says more, or is empty.
	Detail string `json:",omitempty"`
	// Suggestion says what to do, or is empty.
	Suggestion string `json:",omitempty"`
	// File, Line and Column say where, Line and Column from 1. Line 0 is the
	// file as a whole.
	File   string `json:",omitempty"`
	Line   int    `json:",omitempty"`
	Column int    `json:",omitempty"`
	// EndColumn is where the marked part of the line ends.
	EndColumn int `json:",omitempty"`
	// Source is the line's text.
	Source string `json:",omitempty"`
	// Within names the blocks around, such as `job "web" > group "api"`.
	Within string `json:",omitempty"`
}

// Error returns the diagnostic in one line: file:line,column: summary.
func (d Diagnostic) Error() string {
	text := d.Summary
	if d.Detail != "" {
		text += "; " + d.Detail
	}
	if d.Line > 0 {
		text = fmt.Sprintf("%s:%d,%d: %s", d.File, d.Line, d.Column, text)
	} else if d.File != "" {
		text = d.File + ": " + text
	}
	if d.Suggestion != "" {
		text += ". " + d.Suggestion
	}
	return text
}

// Diagnostics are all there is to tell about a job file, in its order.
type Diagnostics []Diagnostic

// HasErrors reports whether the job is unusable.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == SeverityError })
}

// Err returns nil if there is no error among the diagnostics, else all of them.
func (ds Diagnostics) Err() error {
	if !ds.HasErrors() {
		return nil
	}
	return ds
}

// Warnings returns the warnings.
func (ds Diagnostics) Warnings() Diagnostics { return ds.only(SeverityWarning) }

// Errors returns the errors.
func (ds Diagnostics) Errors() Diagnostics { return ds.only(SeverityError) }

func (ds Diagnostics) only(s Severity) Diagnostics {
	var out Diagnostics
	for _, d := range ds {
		if d.Severity == s {
			out = append(out, d)
		}
	}
	return out
}

// Error lists the diagnostics as people read them, without colour.
func (ds Diagnostics) Error() string {
	var b strings.Builder
	_ = ds.Render(&b, false) // a strings.Builder takes everything
	return strings.TrimRight(b.String(), "\n")
}

// Render writes the diagnostics for people, with colours of a terminal if
// wanted.
func (ds Diagnostics) Render(w io.Writer, color bool) error {
	paint := func(code, text string) string {
		if !color {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	for i, d := range ds {
		var b strings.Builder
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(d.render(paint))
		if _, err := io.WriteString(w, b.String()); err != nil {
			return fmt.Errorf("write diagnostics: %w", err)
		}
	}
	return nil
}

func (d Diagnostic) render(paint func(code, text string) string) string {
	const bold, red, yellow, blue = "1", "1;31", "1;33", "34"
	var b strings.Builder
	head := paint(red, "Error:")
	if d.Severity == SeverityWarning {
		head = paint(yellow, "Warning:")
	}
	fmt.Fprintf(&b, "%s %s\n", head, paint(bold, d.Summary))
	if d.Line > 0 {
		fmt.Fprintf(&b, "  on %s line %d, column %d", d.File, d.Line, d.Column)
		if d.Within != "" {
			fmt.Fprintf(&b, ", in %s", d.Within)
		}
		b.WriteString(":\n")
		b.WriteString(d.excerpt(func(s string) string { return paint(blue, s) }))
	} else if d.File != "" {
		fmt.Fprintf(&b, "  in %s\n", d.File)
	}
	for _, text := range []string{d.Detail, d.Suggestion} {
		if text != "" {
			fmt.Fprintf(&b, "  %s\n", text)
		}
	}
	return b.String()
}

// maxExcerpt bounds the part of a line that is shown.
const maxExcerpt = 120

// excerpt draws the line with its number and marks the part meant.
func (d Diagnostic) excerpt(paint func(string) string) string {
	line := []rune(strings.ReplaceAll(d.Source, "\t", " "))
	from := min(d.Column-1, len(line))
	to := max(min(d.EndColumn-1, len(line)), from+1)
	cut := 0
	if from > maxExcerpt/2 && len(line) > maxExcerpt {
		cut = from - maxExcerpt/2
	}
	shown := line[cut:min(len(line), cut+maxExcerpt)]
	to = min(to-cut, max(len(shown), from-cut+1))
	number := fmt.Sprintf("%4d | ", d.Line)
	return paint(number) + string(shown) + "\n" +
		paint("     | ") + strings.Repeat(" ", from-cut) + strings.Repeat("^", to-(from-cut)) + "\n"
}

// sorted puts diagnostics in the order of the file, each once.
func (ds Diagnostics) sorted() Diagnostics {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ds)
}
