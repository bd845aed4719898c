package agent

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/structs"
)

// facade answers the API's questions about the agent itself.
type facade struct{ a *assembly }

// Self describes the agent.
func (f facade) Self(context.Context) (*structs.AgentSelf, error) {
	c, s := f.a.config, f.a.settings
	self := &structs.AgentSelf{
		Config: map[string]any{
			"Region": c.Region, "Datacenter": c.Datacenter, "NodeName": s.Name, "DataDir": c.DataDir, "LogLevel": c.LogLevel, "BindAddr": c.BindAddr,
			"DevMode":        c.Dev,
			"Ports":          map[string]any{"HTTP": c.Ports.HTTP, "RPC": c.Ports.RPC, "Serf": c.Ports.Serf},
			"AdvertiseAddrs": map[string]any{"HTTP": s.HTTPAdvertise, "RPC": s.RPCAdvertise, "Serf": s.SerfAdvertise},
			"Server":         map[string]any{"Enabled": c.Server.Enabled, "BootstrapExpect": c.Server.BootstrapExpect},
			"Client":         map[string]any{"Enabled": c.Client.Enabled, "NodeClass": c.Client.NodeClass, "Meta": c.Client.Meta},
			"ACL":            map[string]any{"Enabled": c.ACL.Enabled},
			"UI":             map[string]any{"Enabled": c.UI.Enabled},
			"Version":        map[string]any{"Version": f.a.process.Speaks, "Revision": f.a.process.Revision, "Steppe": f.a.process.Version},
		},
		Stats: map[string]map[string]string{"nomad": {"server": strconv.FormatBool(f.a.server != nil)}},
	}
	if f.a.server != nil {
		for room, figures := range f.a.server.Stats() {
			self.Stats[room] = figures
		}
		for _, m := range f.a.server.Members() {
			if m.Name == s.Name || m.Name == s.Name+"."+c.Region {
				self.Member = *m
			}
		}
	}
	if f.a.client != nil {
		self.Stats["client"] = map[string]string{
			"node_id": f.a.client.Identity().NodeID, "last_heartbeat": f.a.session.LastContact().String(),
			"known_servers": strconv.Itoa(len(f.a.session.Servers())),
		}
	}
	return self, nil
}

// Health says whether the agent's halves work: a server must know a leader, a
// node must have reached a server.
func (f facade) Health(context.Context) *structs.AgentHealthResponse {
	out := &structs.AgentHealthResponse{}
	if f.a.server != nil {
		out.Server = &structs.AgentHealth{Ok: true, Message: "ok"}
		if _, known := f.a.server.Leader(); !known {
			out.Server = &structs.AgentHealth{Message: "No cluster leader"}
		}
	}
	if f.a.client != nil {
		out.Client = &structs.AgentHealth{Ok: true, Message: "ok"}
		if f.a.session.LastContact().IsZero() {
			out.Client = &structs.AgentHealth{Message: "no server has answered yet"}
		}
	}
	return out
}

// Reload reads the configuration again.
func (f facade) Reload(context.Context) error { return f.a.reload() }

// Servers lists the servers that the node talks to.
func (f facade) Servers() []string {
	if f.a.session == nil {
		return nil
	}
	return f.a.session.Servers()
}

// errNoNode is the answer to a server list for an agent without a node.
var errNoNode = errors.New("this agent runs no tasks, so it has no list of servers")

// SetServers replaces the servers that the node talks to.
func (f facade) SetServers(addrs []string) error {
	if f.a.session == nil {
		return errNoNode
	}
	f.a.session.SetServers(addrs)
	return nil
}

// localNode is the agent's node, as the API sees it.
type localNode struct{ client *client.Client }

func (n localNode) NodeID() string          { return n.client.Identity().NodeID }
func (n localNode) HasAlloc(id string) bool { return n.client.HasAlloc(id) }
func (n localNode) Handler() http.Handler   { return n.client.Handler() }

// upstream sends requests to the server that the node's session is with.
type upstream struct {
	session *link.Session
	tls     *certs.TLS

	mu         sync.Mutex
	addr       string
	transports *http.Transport
}

// errNoServer is the answer while no server is known.
var errNoServer = errors.New("no server is known to this agent yet")

// RoundTrip implements http.RoundTripper.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	servers := u.session.Servers()
	if len(servers) == 0 {
		return nil, errNoServer
	}
	return u.to(servers[0]).RoundTrip(r)
}

// to keeps one transport for the current server.
func (u *upstream) to(addr string) *http.Transport {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.addr != addr {
		if u.transports != nil {
			u.transports.CloseIdleConnections()
		}
		u.addr, u.transports = addr, link.HTTPTransport(addr, u.tls)
	}
	return u.transports
}
