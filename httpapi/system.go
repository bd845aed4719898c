package httpapi

import (
	"cmp"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/steppe-run/steppe/server"
	"github.com/steppe-run/steppe/structs"
)

// root sends browsers to the console.
func root(c *call) (reply, error) {
	target := "/ui/"
	if c.r.URL.RawQuery != "" {
		target += "?" + c.r.URL.RawQuery
	}
	c.w.Header().Set("Location", target)
	return reply{status: http.StatusTemporaryRedirect}, nil
}

// statusLeader tells the leader's address.
func statusLeader(c *call) (reply, error) {
	addr, known := c.api.cfg.Server.Leader()
	if !known {
		return reply{}, structs.ErrNoLeader
	}
	return reply{value: addr}, nil
}

// statusPeers tells the addresses of those who vote.
func statusPeers(c *call) (reply, error) {
	peers, err := c.api.cfg.Server.Peers()
	if peers == nil {
		peers = []string{}
	}
	return reply{value: peers}, err
}

// regionsList lists the regions.
func regionsList(c *call) (reply, error) {
	return reply{value: c.api.cfg.Server.Regions()}, nil
}

// systemGC removes everything that is finished.
func systemGC(c *call) (reply, error) {
	return reply{}, c.api.cfg.Server.GC(c.ctx())
}

// systemReconcile recomputes job summaries.
func systemReconcile(c *call) (reply, error) {
	return reply{}, c.api.cfg.Server.ReconcileSummaries(c.ctx())
}

// metricsRead shows the agent's recent metrics.
func metricsRead(c *call) (reply, error) {
	if c.query.Get("format") == "prometheus" {
		if c.api.cfg.Prometheus == nil {
			return reply{}, refuse(http.StatusUnsupportedMediaType, "Prometheus is not enabled")
		}
		promhttp.HandlerFor(c.api.cfg.Prometheus, promhttp.HandlerOpts{}).ServeHTTP(c.w, c.r)
		return reply{sent: true}, nil
	}
	if c.api.cfg.Sink == nil {
		return reply{}, refuse(http.StatusNotImplemented, "this agent keeps no metrics")
	}
	summary, err := c.api.cfg.Sink.DisplayMetrics(nil, c.r)
	return reply{value: summary}, err
}

// schedulerRead reads the scheduler's configuration.
func schedulerRead(c *call, v View) (reply, error) {
	cfg := v.SchedulerConfig()
	index := max(1, cfg.ModifyIndex)
	return reply{value: &structs.SchedulerConfigurationResponse{SchedulerConfig: cfg, QueryMeta: c.queryMeta(index)}, index: index}, nil
}

// schedulerWrite replaces the scheduler's configuration.
func schedulerWrite(c *call) (reply, error) {
	req := &server.SchedulerConfigRequest{}
	if err := c.decode(&req.Config); err != nil {
		return reply{}, err
	}
	if req.Config == nil {
		return reply{}, refuse(http.StatusBadRequest, "Request body is empty")
	}
	var err error
	if req.CASIndex, req.CAS, err = c.number("cas"); err != nil {
		return reply{}, err
	}
	resp, err := c.api.cfg.Server.SetSchedulerConfig(c.ctx(), req)
	if err != nil {
		return reply{}, err
	}
	return wrote(resp, resp.LastIndex, nil)
}

// raftConfiguration describes those who vote.
func raftConfiguration(c *call) (reply, error) {
	cfg, err := c.api.cfg.Server.RaftConfiguration()
	return wrote(cfg, 0, err)
}

// raftRemove removes a voter.
func raftRemove(c *call) (reply, error) {
	id := c.query.Get("id")
	if c.query.Get("address") != "" {
		return reply{}, refuse(http.StatusBadRequest, "peers are removed by id, not by address")
	}
	if id == "" {
		return reply{}, refuse(http.StatusBadRequest, "must specify ?id with the id of the peer to remove")
	}
	return reply{}, c.api.cfg.Server.RemoveRaftPeer(c.ctx(), id)
}

// handedOver is the answer to a transfer of leadership.
type handedOver struct {
	From *structs.RaftServer
	To   *structs.RaftServer
	Noop bool
	Err  *string
	structs.WriteMeta
}

// raftTransfer hands leadership to another server.
func raftTransfer(c *call) (reply, error) {
	id, address := c.query.Get("id"), c.query.Get("address")
	if (id == "") == (address == "") {
		return reply{}, refuse(http.StatusBadRequest, "must specify either ?id or ?address of the server that shall lead")
	}
	before, err := c.api.cfg.Server.RaftConfiguration()
	if err != nil {
		return reply{}, err
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
		return reply{}, refuse(http.StatusBadRequest, "no peer %q: see /v1/operator/raft/configuration", cmp.Or(id, address))
	}
	out.Noop = out.From == out.To
	if !out.Noop {
		err = c.api.cfg.Server.TransferLeadership(c.ctx(), id, address)
	}
	return wrote(&out, 0, err)
}

// licenseRead says, by saying nothing, that there is no license.
func licenseRead(*call) (reply, error) { return reply{status: http.StatusNoContent}, nil }

// namespacesList lists namespaces.
func namespacesList(c *call, v View) (reply, error) {
	return reply{value: all(v.Namespaces(c.prefix), same[*structs.Namespace]), index: c.indexOf(v)}, nil
}

// namespaceRead reads one namespace.
func namespaceRead(c *call, v View) (reply, error) {
	n := v.Namespace(c.param("name"))
	if n == nil {
		return reply{}, structs.ErrNamespaceNotFound
	}
	return reply{value: n, index: n.ModifyIndex}, nil
}

// namespaceWrite stores a namespace.
func namespaceWrite(c *call) (reply, error) {
	var ns structs.Namespace
	if err := c.decode(&ns); err != nil {
		return reply{}, err
	}
	if name := c.param("name"); name != "" && ns.Name != name {
		return reply{}, refuse(http.StatusBadRequest, "Namespace name does not match request path")
	}
	return done(c.api.cfg.Server.UpsertNamespace(c.ctx(), &ns))
}

// namespaceDelete removes a namespace.
func namespaceDelete(c *call) (reply, error) {
	return done(c.api.cfg.Server.DeleteNamespace(c.ctx(), c.param("name")))
}
