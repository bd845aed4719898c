package monitor

import (
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-run/steppe/command/view"
	"github.com/steppe-run/steppe/structs"
)

// Jobs shows a table of jobs by id; with namespaces where they may differ.
func Jobs(jobs []*structs.JobListStub, namespaces bool) string {
	sorted := slices.SortedFunc(slices.Values(jobs), func(a, b *structs.JobListStub) int { return strings.Compare(a.ID, b.ID) })
	headings := []string{"ID", "Type", "Priority", "Status", "Submit Date"}
	if namespaces {
		headings = slices.Insert(headings, 1, "Namespace")
	}
	var rows [][]string
	for _, j := range sorted {
		row := []string{j.ID}
		if namespaces {
			row = append(row, j.Namespace)
		}
		rows = append(rows, append(row, jobKind(j), strconv.Itoa(j.Priority), JobStatus(j.Status, j.Stop), view.Nanos(j.SubmitTime)))
	}
	return view.Table(headings, rows)
}

func jobKind(j *structs.JobListStub) string {
	switch {
	case j.Periodic:
		return j.Type + "/periodic"
	case j.ParameterizedJob:
		return j.Type + "/parameterized"
	}
	return j.Type
}

// JobStatus is a job's status for people: whether somebody stopped it, too.
func JobStatus(status string, stopped bool) string {
	if stopped {
		return status + " (stopped)"
	}
	return status
}
