package cluster

import (
	"net/http"
	"slices"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
)

// VolumesList lists volumes. None can be made yet, and a list of nothing is
// true.
func VolumesList(c *door.Call, v backend.View) (door.Reply, error) {
	return nothing(c, v, "host", "csi")
}

// VolumeClaimsList lists claims on volumes; there are none without volumes.
func VolumeClaimsList(c *door.Call, v backend.View) (door.Reply, error) { return nothing(c, v) }

// PluginsList lists storage plugins; there are none.
func PluginsList(c *door.Call, v backend.View) (door.Reply, error) { return nothing(c, v, "csi") }

// nothing answers with an empty list, whichever of the types was asked for.
func nothing(c *door.Call, v backend.View, types ...string) (door.Reply, error) {
	if kind := c.Query.Get("type"); kind != "" && len(types) > 0 && !slices.Contains(types, kind) {
		return door.Reply{}, door.Refuse(http.StatusNotFound, "resource not found")
	}
	return door.Reply{Value: []struct{}{}, Index: c.IndexOf(v)}, nil
}
