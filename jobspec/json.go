package jobspec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/steppe-run/steppe/jobspec/diagnose"
	"github.com/steppe-run/steppe/structs"
)

// ParseJSON reads a job in the API's JSON, bare or as {"Job": {…}}. The job is
// as written: without defaults, not validated. It is nil if there are errors.
func ParseJSON(filename string, src []byte) (*structs.Job, diagnose.Diagnostics) {
	if filename == "" {
		filename = "job.json"
	}
	fail := func(offset int64, summary, suggestion string) (*structs.Job, diagnose.Diagnostics) {
		d := diagnose.Diagnostic{Severity: diagnose.SeverityError, Summary: summary, Suggestion: suggestion, File: filename}
		locate(&d, src, offset)
		return nil, diagnose.Diagnostics{d}
	}
	if len(src) > diagnose.MaxInputBytes {
		return fail(0, fmt.Sprintf("the file has %d bytes, more than the limit of %d", len(src), diagnose.MaxInputBytes), "")
	}
	var wrapped struct{ Job json.RawMessage }
	if err := json.Unmarshal(src, &wrapped); err != nil {
		return fail(offsetOf(err), jsonFault(err), "")
	}
	inner, shift := src, int64(0)
	if len(wrapped.Job) > 0 && !bytes.Equal(wrapped.Job, []byte("null")) {
		shift = int64(max(0, bytes.Index(src, wrapped.Job)))
		inner = wrapped.Job
	}
	job := &structs.Job{}
	if err := json.Unmarshal(inner, job); err != nil {
		return fail(shift+offsetOf(err), jsonFault(err), "")
	}
	if job.ID == nil && job.Name == nil && len(job.TaskGroups) == 0 {
		return fail(0, "the file holds no job", `Write the job's fields, or {"Job": {…}}; files in HCL need no -json.`)
	}
	return job, nil
}

func offsetOf(err error) int64 {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax.Offset
	case errors.As(err, &kind):
		return kind.Offset
	}
	return 0
}

// jsonFault says what is wrong in the words of the file.
func jsonFault(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		where := kind.Field
		if where == "" {
			where = "a job"
		}
		return fmt.Sprintf("%s must not be a %s", where, kind.Value)
	}
	return diagnose.LowerFirst(strings.TrimPrefix(err.Error(), "json: "))
}

// locate sets line and column of an offset; 0 is nowhere.
func locate(d *diagnose.Diagnostic, src []byte, offset int64) {
	if offset <= 0 || offset > int64(len(src)) {
		return
	}
	before := src[:offset-1]
	start := bytes.LastIndexByte(before, '\n') + 1
	line, _, _ := bytes.Cut(src[start:], []byte("\n"))
	d.Line = bytes.Count(before, []byte("\n")) + 1
	d.Column = len([]rune(string(before[start:]))) + 1
	d.EndColumn = d.Column + 1
	d.Source = strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "\uFFFD")
}
