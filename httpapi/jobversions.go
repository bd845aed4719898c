package httpapi

import (
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// jobVersions lists the versions that are kept of a job, newest first, with
// what changed between them if asked.
func jobVersions(c *call, v View) (reply, error) {
	versions := v.JobVersions(c.namespace, c.param("job_id"))
	if len(versions) == 0 {
		return reply{}, structs.ErrJobVersionsNotFound
	}
	diffs, err := c.flag("diffs")
	if err != nil {
		return reply{}, err
	}
	out := &structs.JobVersionsResponse{Versions: versions}
	index := c.indexOf(v)
	out.QueryMeta = c.queryMeta(index)
	if diffs {
		return reply{}, refuse(http.StatusNotImplemented, "%v", structs.NotBuilt("diffs of versions"))
	}
	return reply{value: out, index: index}, nil
}
