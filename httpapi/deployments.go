package httpapi

import (
	"cmp"
	"net/http"

	"github.com/steppe-run/steppe/structs"
)

// deploymentsList lists deployments.
func deploymentsList(c *call, v View) (reply, error) {
	if err := hexPrefix("deployment", c.prefix); err != nil {
		return reply{}, err
	}
	return list(c, v, v.Deployments(c.namespace, c.prefix), listing[*structs.Deployment, *structs.Deployment]{
		order: byCreation,
		key:   func(d *structs.Deployment) key { return key{number: d.CreateIndex, last: d.ID} },
		show:  same[*structs.Deployment],
	})
}

// deploymentRead reads one deployment.
func deploymentRead(c *call, v View) (reply, error) {
	id := c.param("deployment_id")
	if err := recordID("deployment", id); err != nil {
		return reply{}, err
	}
	d := v.Deployment(id)
	if d == nil {
		return reply{}, structs.ErrDeploymentNotFound
	}
	return reply{value: d, index: d.ModifyIndex}, nil
}

// deploymentAllocations lists the allocations of a deployment.
func deploymentAllocations(c *call, v View) (reply, error) {
	id := c.param("deployment_id")
	if err := recordID("deployment", id); err != nil {
		return reply{}, err
	}
	return reply{value: all(v.AllocsByDeployment(id), fullStub), index: c.indexOf(v)}, nil
}

// ofDeployment refuses a body that names another deployment than the path.
func (c *call) ofDeployment(id string) error {
	want := c.param("deployment_id")
	if err := recordID("deployment", want); err != nil {
		return err
	}
	if id == "" {
		return refuse(http.StatusBadRequest, "DeploymentID must be specified")
	}
	if id != want {
		return refuse(http.StatusBadRequest, "Deployment ID does not match")
	}
	return nil
}

func steered(resp *structs.DeploymentUpdateResponse, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, cmp.Or(resp.LastIndex, resp.DeploymentModifyIndex), nil)
}

// deploymentFail marks a deployment failed.
func deploymentFail(c *call) (reply, error) {
	req := &structs.DeploymentFailRequest{DeploymentID: c.param("deployment_id"), WriteRequest: c.writeRequest("")}
	if err := c.ofDeployment(req.DeploymentID); err != nil {
		return reply{}, err
	}
	return steered(c.api.cfg.Server.FailDeployment(c.ctx(), req))
}

// deploymentPause pauses or resumes a deployment.
func deploymentPause(c *call) (reply, error) {
	var req structs.DeploymentPauseRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.ofDeployment(req.DeploymentID); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest("")
	return steered(c.api.cfg.Server.PauseDeployment(c.ctx(), &req))
}

// deploymentPromote promotes canaries.
func deploymentPromote(c *call) (reply, error) {
	var req structs.DeploymentPromoteRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.ofDeployment(req.DeploymentID); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest("")
	return steered(c.api.cfg.Server.PromoteDeployment(c.ctx(), &req))
}

// deploymentUnblock lets a multiregion deployment go on.
func deploymentUnblock(c *call) (reply, error) {
	var req structs.DeploymentUnblockRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.ofDeployment(req.DeploymentID); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest("")
	return steered(c.api.cfg.Server.UnblockDeployment(c.ctx(), &req))
}

// deploymentHealth sets the health of allocations by hand.
func deploymentHealth(c *call) (reply, error) {
	var req structs.DeploymentAllocHealthRequest
	if err := c.decode(&req); err != nil {
		return reply{}, err
	}
	if err := c.ofDeployment(req.DeploymentID); err != nil {
		return reply{}, err
	}
	req.WriteRequest = c.writeRequest("")
	return steered(c.api.cfg.Server.SetAllocHealth(c.ctx(), &req))
}
