package cluster

import (
	"cmp"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// Root sends browsers to the console.
func Root(c *door.Call) (door.Reply, error) {
	target := "/ui/"
	if c.Request.URL.RawQuery != "" {
		target += "?" + c.Request.URL.RawQuery
	}
	c.Writer.Header().Set("Location", target)
	return door.Reply{Status: http.StatusTemporaryRedirect}, nil
}

// StatusLeader tells the leader's address.
func StatusLeader(c *door.Call) (door.Reply, error) {
	addr, known := c.Server().Leader()
	if !known {
		return door.Reply{}, structs.ErrNoLeader
	}
	return door.Reply{Value: addr}, nil
}

// StatusPeers tells the addresses of those who vote.
func StatusPeers(c *door.Call) (door.Reply, error) {
	peers, err := c.Server().Peers()
	if peers == nil {
		peers = []string{}
	}
	return door.Reply{Value: peers}, err
}

// RegionsList lists the regions.
func RegionsList(c *door.Call) (door.Reply, error) {
	return door.Reply{Value: c.Server().Regions()}, nil
}

// SystemGC removes everything that is finished.
func SystemGC(c *door.Call) (door.Reply, error) {
	return door.Reply{}, c.Server().GC(c.Ctx())
}

// SystemReconcile recomputes job summaries.
func SystemReconcile(c *door.Call) (door.Reply, error) {
	return door.Reply{}, c.Server().ReconcileSummaries(c.Ctx())
}

// MetricsRead shows the agent's recent metrics.
func MetricsRead(c *door.Call) (door.Reply, error) {
	if c.Query.Get("format") == "prometheus" {
		if c.Config().Prometheus == nil {
			return door.Reply{}, door.Refuse(http.StatusUnsupportedMediaType, "Prometheus is not enabled")
		}
		promhttp.HandlerFor(c.Config().Prometheus, promhttp.HandlerOpts{}).ServeHTTP(c.Writer, c.Request)
		return door.Reply{Sent: true}, nil
	}
	if c.Config().Sink == nil {
		return door.Reply{}, door.Refuse(http.StatusNotImplemented, "this agent keeps no metrics")
	}
	summary, err := c.Config().Sink.DisplayMetrics(nil, c.Request)
	return door.Reply{Value: summary}, err
}

// FiguresRead tells what the server takes.
func FiguresRead(c *door.Call) (door.Reply, error) { return figures(c, false) }

// FiguresCollect collects the server's garbage first, so that its heap counts
// only what is in use.
func FiguresCollect(c *door.Call) (door.Reply, error) { return figures(c, true) }

func figures(c *door.Call, collect bool) (door.Reply, error) {
	out, err := c.Server().Account(collect)
	return door.Wrote(out, 0, err)
}

// BrakeRead tells which nodes' loss is held back.
func BrakeRead(c *door.Call) (door.Reply, error) {
	status, index := c.Server().Brake()
	return door.Reply{Value: status, Index: max(1, index)}, nil
}

// BrakeRelease gives them up.
func BrakeRelease(c *door.Call) (door.Reply, error) {
	resp, index, err := c.Server().ReleaseBrake(c.Ctx())
	return door.Wrote(resp, index, err)
}

// SchedulerRead reads the scheduler's configuration.
func SchedulerRead(c *door.Call, v backend.View) (door.Reply, error) {
	cfg := v.SchedulerConfig()
	index := max(1, cfg.ModifyIndex)
	return door.Reply{Value: &structs.SchedulerConfigurationResponse{SchedulerConfig: cfg, QueryMeta: c.QueryMeta(index)}, Index: index}, nil
}

// SchedulerWrite replaces the scheduler's configuration.
func SchedulerWrite(c *door.Call) (door.Reply, error) {
	req := &server.SchedulerConfigRequest{}
	if err := c.Decode(&req.Config); err != nil {
		return door.Reply{}, err
	}
	if req.Config == nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Request body is empty")
	}
	var err error
	if req.CASIndex, req.CAS, err = c.Number("cas"); err != nil {
		return door.Reply{}, err
	}
	resp, err := c.Server().SetSchedulerConfig(c.Ctx(), req)
	if err != nil {
		return door.Reply{}, err
	}
	return door.Wrote(resp, resp.LastIndex, nil)
}

// RaftConfiguration describes those who vote.
func RaftConfiguration(c *door.Call) (door.Reply, error) {
	cfg, err := c.Server().RaftConfiguration()
	return door.Wrote(cfg, 0, err)
}

// RaftRemove removes a voter.
func RaftRemove(c *door.Call) (door.Reply, error) {
	id := c.Query.Get("id")
	if c.Query.Get("address") != "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "peers are removed by id, not by address")
	}
	if id == "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "must specify ?id with the id of the peer to remove")
	}
	return door.Reply{}, c.Server().RemoveRaftPeer(c.Ctx(), id)
}

// handedOver is the answer to a transfer of leadership.
type handedOver struct {
	From *structs.RaftServer
	To   *structs.RaftServer
	Noop bool
	Err  *string
	structs.WriteMeta
}

// RaftTransfer hands leadership to another server.
func RaftTransfer(c *door.Call) (door.Reply, error) {
	id, address := c.Query.Get("id"), c.Query.Get("address")
	if (id == "") == (address == "") {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "must specify either ?id or ?address of the server that shall lead")
	}
	before, err := c.Server().RaftConfiguration()
	if err != nil {
		return door.Reply{}, err
	}
	out := handedOver{}
	for _, s := range before.Servers {
		if s.Leader {
			out.From = s
		}
		if id != "" && s.ID == id || address != "" && s.Address == address {
			out.To = s
		}
	}
	if out.To == nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "no peer %q: see /v1/operator/raft/configuration", cmp.Or(id, address))
	}
	out.Noop = out.From == out.To
	if !out.Noop {
		err = c.Server().TransferLeadership(c.Ctx(), id, address)
	}
	return door.Wrote(&out, 0, err)
}

// LicenseRead says, by saying nothing, that there is no license.
func LicenseRead(*door.Call) (door.Reply, error) {
	return door.Reply{Status: http.StatusNoContent}, nil
}

// NamespacesList lists namespaces.
func NamespacesList(c *door.Call, v backend.View) (door.Reply, error) {
	return door.Reply{Value: door.All(v.Namespaces(c.Prefix), door.Same[*structs.Namespace]), Index: c.IndexOf(v)}, nil
}

// NamespaceRead reads one namespace.
func NamespaceRead(c *door.Call, v backend.View) (door.Reply, error) {
	n := v.Namespace(c.Param("name"))
	if n == nil {
		return door.Reply{}, structs.ErrNamespaceNotFound
	}
	return door.Reply{Value: n, Index: n.ModifyIndex}, nil
}

// NamespaceWrite stores a namespace.
func NamespaceWrite(c *door.Call) (door.Reply, error) {
	var ns structs.Namespace
	if err := c.Decode(&ns); err != nil {
		return door.Reply{}, err
	}
	if name := c.Param("name"); name != "" && ns.Name != name {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Namespace name does not match request path")
	}
	return door.Done(c.Server().UpsertNamespace(c.Ctx(), &ns))
}

// NamespaceDelete removes a namespace.
func NamespaceDelete(c *door.Call) (door.Reply, error) {
	return door.Done(c.Server().DeleteNamespace(c.Ctx(), c.Param("name")))
}
