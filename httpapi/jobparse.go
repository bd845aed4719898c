package httpapi

import (
	"net/http"
	"strings"

	"github.com/steppe-run/steppe/jobspec"
	"github.com/steppe-run/steppe/structs"
)

// jobsParse turns a job file into the job that it describes.
func jobsParse(c *call) (reply, error) {
	var req structs.JobsParseRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if strings.TrimSpace(req.JobHCL) == "" {
		return reply{}, refuse(http.StatusBadRequest, "Job spec is empty")
	}
	in := jobspec.Input{Source: []byte(req.JobHCL)}
	if req.Variables != "" {
		in.VarFiles = []jobspec.File{{Name: "variables.hcl", Source: []byte(req.Variables)}}
	}
	job, faults := jobspec.Parse(in)
	if err := faults.Err(); err != nil {
		return reply{}, refuse(http.StatusBadRequest, "Failed to parse job: %v", err)
	}
	if req.Canonicalize {
		job.Canonicalize()
	}
	return reply{value: job}, nil
}
