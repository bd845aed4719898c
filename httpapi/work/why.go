package work

import (
	"errors"
	"net/http"
	"time"

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

// defaultDrainDeadline is that of a drain of which only a plan is wanted.
const defaultDrainDeadline = time.Hour

// DrainPlan says what draining a node would do. The query's deadline is a
// duration: negative moves everything at once, 0 is none.
func DrainPlan(c *door.Call) (door.Reply, error) {
	if err := door.RecordID("node", c.Param("node_id")); err != nil {
		return door.Reply{}, err
	}
	spec := structs.DrainSpec{Deadline: defaultDrainDeadline}
	if text := c.Query.Get("deadline"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return door.Reply{}, door.Refuse(http.StatusBadRequest, "deadline: %q is no duration: write one such as 30m, 0 for none, or a negative one to move everything at once", text)
		}
		spec.Deadline = d
	}
	var err error
	if spec.IgnoreSystemJobs, err = c.Flag("ignore_system_jobs"); err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(c.Server().DrainPlan(c.Ctx(), c.Param("node_id"), spec))
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
