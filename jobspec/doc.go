// Package jobspec turns the text of a job file, HCL or JSON, into a
// structs.Job, the text of a node pool's file into a structs.NodePool, and says of a wrong one all that is wrong at once: with file,
// line, column, the offending line and what was probably meant.
//
// It must not know clusters: defaults, rules and limits of jobs live in
// structs, and a parsed job is not canonical. What is known only where a task
// runs (${attr.kernel.name}, ${NOMAD_PORT_http}…) stays text.
//
// Blocks and attributes follow from the fields of package structs; schema.go
// lists where the file's word differs from the field's name. No input, however
// large or hostile, takes more than moments: see diagnose.Report.CheckLimits and
// function.Budget.
//
// Begin reading at Parse, then decode.go.
package jobspec

import "github.com/steppe-run/steppe/jobspec/diagnose"

// What callers see of package diagnose.
type (
	// Diagnostic is one thing to tell about a job file.
	Diagnostic = diagnose.Diagnostic
	// Diagnostics are all there is to tell about a job file, in its order.
	Diagnostics = diagnose.Diagnostics
)
