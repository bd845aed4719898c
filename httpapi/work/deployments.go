package work

import (
	"cmp"
	"net/http"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/show"
	"github.com/steppe-run/steppe/structs"
)

// DeploymentsList lists deployments.
func DeploymentsList(c *door.Call, v backend.View) (door.Reply, error) {
	if err := door.HexPrefix("deployment", c.Prefix); err != nil {
		return door.Reply{}, err
	}
	return door.List(c, v, v.Deployments(c.Namespace, c.Prefix), door.Listing[*structs.Deployment, *structs.Deployment]{
		Order: door.ByCreation,
		Key:   func(d *structs.Deployment) door.Key { return door.Key{Number: d.CreateIndex, Last: d.ID} },
		Show:  door.Same[*structs.Deployment],
	})
}

// DeploymentRead reads one deployment.
func DeploymentRead(c *door.Call, v backend.View) (door.Reply, error) {
	id := c.Param("deployment_id")
	if err := door.RecordID("deployment", id); err != nil {
		return door.Reply{}, err
	}
	d := v.Deployment(id)
	if d == nil {
		return door.Reply{}, structs.ErrDeploymentNotFound
	}
	return door.Reply{Value: d, Index: d.ModifyIndex}, nil
}

// DeploymentAllocations lists the allocations of a deployment.
func DeploymentAllocations(c *door.Call, v backend.View) (door.Reply, error) {
	id := c.Param("deployment_id")
	if err := door.RecordID("deployment", id); err != nil {
		return door.Reply{}, err
	}
	return door.Reply{Value: door.All(v.AllocsByDeployment(id), show.FullStub), Index: c.IndexOf(v)}, nil
}

// ofDeployment refuses a body that names another deployment than the path.
func ofDeployment(c *door.Call, id string) error {
	want := c.Param("deployment_id")
	if err := door.RecordID("deployment", want); err != nil {
		return err
	}
	if id == "" {
		return door.Refuse(http.StatusBadRequest, "DeploymentID must be specified")
	}
	if id != want {
		return door.Refuse(http.StatusBadRequest, "Deployment ID does not match")
	}
	return nil
}

func steered(resp *structs.DeploymentUpdateResponse, err error) (door.Reply, error) {
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, cmp.Or(resp.LastIndex, resp.DeploymentModifyIndex), nil)
}

// DeploymentFail marks a deployment failed.
func DeploymentFail(c *door.Call) (door.Reply, error) {
	req := &structs.DeploymentFailRequest{DeploymentID: c.Param("deployment_id"), WriteRequest: c.WriteRequest("")}
	if err := ofDeployment(c, req.DeploymentID); err != nil {
		return door.Reply{}, err
	}
	return steered(c.Server().FailDeployment(c.Ctx(), req))
}

// DeploymentPause pauses or resumes a deployment.
func DeploymentPause(c *door.Call) (door.Reply, error) {
	var req structs.DeploymentPauseRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := ofDeployment(c, req.DeploymentID); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest("")
	return steered(c.Server().PauseDeployment(c.Ctx(), &req))
}

// DeploymentPromote promotes canaries.
func DeploymentPromote(c *door.Call) (door.Reply, error) {
	var req structs.DeploymentPromoteRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := ofDeployment(c, req.DeploymentID); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest("")
	return steered(c.Server().PromoteDeployment(c.Ctx(), &req))
}

// DeploymentUnblock lets a multiregion deployment go on.
func DeploymentUnblock(c *door.Call) (door.Reply, error) {
	var req structs.DeploymentUnblockRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := ofDeployment(c, req.DeploymentID); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest("")
	return steered(c.Server().UnblockDeployment(c.Ctx(), &req))
}

// DeploymentHealth sets the health of allocations by hand.
func DeploymentHealth(c *door.Call) (door.Reply, error) {
	var req structs.DeploymentAllocHealthRequest
	if err := c.Decode(&req); err != nil {
		return door.Reply{}, err
	}
	if err := ofDeployment(c, req.DeploymentID); err != nil {
		return door.Reply{}, err
	}
	req.WriteRequest = c.WriteRequest("")
	return steered(c.Server().SetAllocHealth(c.Ctx(), &req))
}
