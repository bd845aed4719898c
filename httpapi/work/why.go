package work

import (
	"errors"
	"net/http"

	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/structs"
)

// JobWhy says why a job is placed as it is.
func JobWhy(c *door.Call) (door.Reply, error) {
	return door.Wrote(c.Server().WhyJob(c.Ctx(), c.Namespace, c.Param("job_id")))
}

// AllocWhy says why an allocation is on its node.
func AllocWhy(c *door.Call) (door.Reply, error) {
	return door.Wrote(c.Server().WhyAlloc(c.Ctx(), c.Param("alloc_id")))
}

// NodeWhyNot says what keeps a job off a node.
func NodeWhyNot(c *door.Call) (door.Reply, error) {
	return door.Wrote(c.Server().WhyNot(c.Ctx(), c.Param("node_id"), c.Namespace, c.Param("job_id")))
}

// Capacity counts how many more of a job's allocations fit.
func Capacity(c *door.Call) (door.Reply, error) {
	var req structs.CapacityRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := checkJob(c, req.Job); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest(req.Job.GetNamespace())
	report, index, err := c.Server().Capacity(c.Ctx(), &req)
	var invalid *structs.ValidationError
	if errors.As(err, &invalid) { // elsewhere the interface wants 500
		err = door.Refuse(http.StatusBadRequest, "%s", invalid.Error())
	}
	return door.Wrote(report, index, err)
}
