package work

import (
	"crypto/subtle"
	"net/http"
	"strconv"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/httpapi/show"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// AllocsList lists allocations.
func AllocsList(c *door.Call, v backend.View) (door.Reply, error) {
	if err := door.HexPrefix("allocation", c.Prefix); err != nil {
		return door.Reply{}, err
	}
	resources, err := c.Flag("resources")
	if err != nil {
		return door.Reply{}, err
	}
	states := true
	if text := c.Query.Get("task_states"); text != "" {
		if states, err = strconv.ParseBool(text); err != nil {
			return door.Reply{}, door.Refuse(http.StatusBadRequest, "Failed to parse value of \"task_states\" (%s) as a bool: use true or false", text)
		}
	}
	return door.List(c, v, v.Allocs(c.Namespace, c.Prefix), door.Listing[*structs.Allocation, *structs.AllocationListStub]{
		Order: door.ByCreation,
		Key:   func(a *structs.Allocation) door.Key { return door.Key{Number: a.CreateIndex, Last: a.ID} },
		Show:  func(a *structs.Allocation) *structs.AllocationListStub { return show.AllocStub(a, resources, states) },
	})
}

// allocOf finds the allocation that the path names.
func allocOf(c *door.Call, v backend.View, missing error) (*structs.Allocation, error) {
	id := c.Param("alloc_id")
	if err := door.RecordID("alloc", id); err != nil {
		return nil, err
	}
	if a := v.Alloc(id); a != nil {
		return a, nil
	}
	return nil, missing
}

// AllocRead reads one allocation with the job version it runs.
func AllocRead(c *door.Call, v backend.View) (door.Reply, error) {
	a, err := allocOf(c, v, structs.ErrAllocNotFound)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Reply{Value: show.WholeAlloc(a), Index: a.ModifyIndex}, nil
}

// AllocStop stops an allocation; the scheduler replaces it.
func AllocStop(c *door.Call) (door.Reply, error) {
	req := &server.AllocStopRequest{AllocID: c.Param("alloc_id")}
	if err := door.RecordID("alloc", req.AllocID); err != nil {
		return door.Reply{}, err
	}
	var err error
	if req.NoShutdownDelay, err = c.Flag("no_shutdown_delay"); err != nil {
		return door.Reply{}, err
	}
	if req.Reschedule, err = c.Flag("reschedule"); err != nil {
		return door.Reply{}, err
	}
	resp, err := c.Server().StopAlloc(c.Ctx(), req)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, resp.LastIndex, nil)
}

// AllocSnapshot sends the ephemeral disk of an allocation to the node of the one
// that replaces it. The asking node proves itself by its secret, and names its
// allocation, whose predecessor this must be.
func AllocSnapshot(c *door.Call) (door.Reply, error) {
	id := c.Param("alloc_id")
	if err := door.RecordID("alloc", id); err != nil {
		return door.Reply{}, err
	}
	v := c.Server().Store().Snapshot()
	next := v.Alloc(c.Query.Get("for"))
	if next == nil || next.PreviousAllocation != id || next.ServerTerminal() || !migrates(next) || !proves(v.Node(next.NodeID), c.Token()) {
		return door.Reply{}, door.Refuse(http.StatusForbidden, "Permission denied")
	}
	old := v.Alloc(id)
	if old == nil {
		return door.Reply{}, door.Refuse(http.StatusNotFound, "Unknown allocation %q", id)
	}
	return c.AtNode(old.NodeID)
}

func migrates(a *structs.Allocation) bool {
	g := a.Job.LookupTaskGroup(a.TaskGroup)
	return g != nil && g.EphemeralDisk != nil && structs.Value(g.EphemeralDisk.Migrate)
}

// proves compares without telling by its duration how much of a guess is right.
func proves(n *structs.Node, secret string) bool {
	return n != nil && n.SecretID != "" && subtle.ConstantTimeCompare([]byte(n.SecretID), []byte(secret)) == 1
}

// AllocServices lists what an allocation registered.
func AllocServices(c *door.Call, v backend.View) (door.Reply, error) {
	a, err := allocOf(c, v, door.Refuse(http.StatusNotFound, "allocation not found"))
	if err != nil {
		return door.Reply{}, err
	}
	return door.Reply{Value: door.All(v.ServicesByAlloc(a.ID), door.Same[*structs.ServiceRegistration]), Index: c.IndexOf(v)}, nil
}
