package work

import (
	"net/http"
	"strings"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/jobspec"
	"github.com/steppe-run/steppe/structs"
)

// JobsParse turns a job file into the job that it describes. A job that can't
// be run is still a job: its rules are checked when it is validated, planned
// or registered.
func JobsParse(c *door.Call) (door.Reply, error) {
	var req structs.JobsParseRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if strings.TrimSpace(req.JobHCL) == "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Job spec is empty")
	}
	in := jobspec.Input{Source: []byte(req.JobHCL)}
	if req.Variables != "" {
		in.VarFiles = []jobspec.File{{Name: "variables.hcl", Source: []byte(req.Variables)}}
	}
	job, faults := jobspec.Parse(in)
	if err := faults.Err(); err != nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Failed to parse job: %v", err)
	}
	if req.Canonicalize {
		job.Canonicalize()
	}
	return door.Reply{Value: job}, nil
}
