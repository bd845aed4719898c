// Package diag collects faults, so that bad input is answered with all of
// them at once, each with the place it stands at.
//
// It must not know any noun of the field. Begin reading at List.
package diag

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with an input.
type Fault struct {
	// Path is where: a field path such as `group "web" > count`, or empty.
	Path string
	// Text says what is wrong and what to do, without a full stop.
	Text string
}

// Error makes a Fault an error.
func (f Fault) Error() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// List is a growing list of faults. The zero value is empty and ready.
type List struct{ faults []Fault }

// Add records a fault at path.
func (l *List) Add(path, format string, args ...any) {
	l.faults = append(l.faults, Fault{Path: path, Text: fmt.Sprintf(format, args...)})
}

// Faults returns what was recorded, in order.
func (l *List) Faults() []Fault { return l.faults }

// Err returns nil if nothing was recorded, else an error of type *Error.
func (l *List) Err() error {
	if len(l.faults) == 0 {
		return nil
	}
	return &Error{Faults: l.faults}
}

// Error is several faults as one error.
type Error struct{ Faults []Fault }

// Error lists the faults, one a line when there are several.
func (e *Error) Error() string {
	if len(e.Faults) == 1 {
		return e.Faults[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d errors occurred:", len(e.Faults))
	for _, f := range e.Faults {
		b.WriteString("\n\t* ")
		b.WriteString(f.Error())
	}
	return b.String()
}
