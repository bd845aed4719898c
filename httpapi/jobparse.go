package httpapi

import (
	"net/http"
	"strings"

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
	return reply{}, refuse(http.StatusNotImplemented, "%v", structs.NotBuilt("parsers of job files"))
}
