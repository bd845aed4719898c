package httpapi

import (
	"net/http"
	"strconv"

	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// allocsList lists allocations.
func allocsList(c *call, v View) (reply, error) {
	if err := hexPrefix("allocation", c.prefix); err != nil {
		return reply{}, err
	}
	resources, err := c.flag("resources")
	if err != nil {
		return reply{}, err
	}
	states := true
	if text := c.query.Get("task_states"); text != "" {
		if states, err = strconv.ParseBool(text); err != nil {
			return reply{}, refuse(http.StatusBadRequest, "Failed to parse value of \"task_states\" (%s) as a bool: use true or false", text)
		}
	}
	return list(c, v, v.Allocs(c.namespace, c.prefix), listing[*structs.Allocation, *structs.AllocationListStub]{
		order: byCreation,
		key:   func(a *structs.Allocation) key { return key{number: a.CreateIndex, last: a.ID} },
		show:  func(a *structs.Allocation) *structs.AllocationListStub { return allocStub(a, resources, states) },
	})
}

// allocOf finds the allocation that the path names.
func allocOf(c *call, v View, missing error) (*structs.Allocation, error) {
	id := c.param("alloc_id")
	if err := recordID("alloc", id); err != nil {
		return nil, err
	}
	if a := v.Alloc(id); a != nil {
		return a, nil
	}
	return nil, missing
}

// allocRead reads one allocation with the job version it runs.
func allocRead(c *call, v View) (reply, error) {
	a, err := allocOf(c, v, structs.ErrAllocNotFound)
	if err != nil {
		return reply{}, err
	}
	return reply{value: wholeAlloc(a), index: a.ModifyIndex}, nil
}

// allocStop stops an allocation; the scheduler replaces it.
func allocStop(c *call) (reply, error) {
	req := &server.AllocStopRequest{AllocID: c.param("alloc_id")}
	if err := recordID("alloc", req.AllocID); err != nil {
		return reply{}, err
	}
	var err error
	if req.NoShutdownDelay, err = c.flag("no_shutdown_delay"); err != nil {
		return reply{}, err
	}
	if req.Reschedule, err = c.flag("reschedule"); err != nil {
		return reply{}, err
	}
	resp, err := c.api.cfg.Server.StopAlloc(c.ctx(), req)
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, resp.LastIndex, nil)
}

// allocServices lists what an allocation registered.
func allocServices(c *call, v View) (reply, error) {
	a, err := allocOf(c, v, refuse(http.StatusNotFound, "allocation not found"))
	if err != nil {
		return reply{}, err
	}
	return reply{value: all(v.ServicesByAlloc(a.ID), same[*structs.ServiceRegistration]), index: c.indexOf(v)}, nil
}
