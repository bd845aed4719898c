package structs

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with a value.
type Fault struct {
	// Path is where, such as `group "web" > task "app" > driver`, or "".
	Path string
	// Text says what is wrong and what to do, without a full stop.
	Text string
}

// String returns the fault with its place.
func (f Fault) String() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// ValidationError is all that is wrong with a value, at once.
type ValidationError struct {
	Faults []Fault
}

// NewValidationError makes an error of plain texts.
func NewValidationError(texts ...string) *ValidationError {
	e := &ValidationError{}
	for _, t := range texts {
		e.Faults = append(e.Faults, Fault{Text: t})
	}
	return e
}

// Error lists the faults, one a line.
func (e *ValidationError) Error() string {
	noun := "errors"
	if len(e.Faults) == 1 {
		noun = "error"
	}
	return fmt.Sprintf("%d %s occurred:\n\t* %s\n", len(e.Faults), noun, strings.Join(e.Messages(), "\n\t* "))
}

// Messages returns the faults as texts.
func (e *ValidationError) Messages() []string {
	out := make([]string, 0, len(e.Faults))
	for _, f := range e.Faults {
		out = append(out, f.String())
	}
	return out
}

// faults collects what is wrong, at a place that nests. The place is put into
// words only when something is wrong there.
type faults struct {
	around *faults // nil: the whole value
	part   string
	args   []any
	list   *[]Fault
}

func newFaults() faults { return faults{list: new([]Fault)} }

// in returns a collector for a part of the value.
func (f faults) in(part string, args ...any) faults {
	return faults{around: &f, part: part, args: args, list: f.list}
}

func (f faults) path() string {
	if f.around == nil {
		return ""
	}
	part := fmt.Sprintf(f.part, f.args...)
	if above := f.around.path(); above != "" {
		return above + " > " + part
	}
	return part
}

func (f faults) add(format string, args ...any) {
	*f.list = append(*f.list, Fault{Path: f.path(), Text: fmt.Sprintf(format, args...)})
}

// check adds a fault unless ok.
func (f faults) check(ok bool, format string, args ...any) {
	if !ok {
		f.add(format, args...)
	}
}

func (f faults) err() error {
	if len(*f.list) == 0 {
		return nil
	}
	return &ValidationError{Faults: *f.list}
}
