package httpapi

import (
	"net/http"
	"slices"

	"github.com/steppe-run/steppe/structs"
)

// errNoAgent is the answer where nothing of the agent itself was wired in.
var errNoAgent = &statusError{http.StatusNotImplemented, "this agent tells nothing about itself"}

// agentSelf describes the agent.
func agentSelf(c *call) (reply, error) {
	if c.api.cfg.Agent == nil {
		return reply{}, errNoAgent
	}
	self, err := c.api.cfg.Agent.Self(c.ctx())
	return wrote(self, 0, err)
}

// agentHealth says whether the agent works, with status 500 if it doesn't.
func agentHealth(c *call) (reply, error) {
	if c.api.cfg.Agent == nil {
		return reply{}, errNoAgent
	}
	health := *c.api.cfg.Agent.Health(c.ctx())
	if kinds := c.query["type"]; len(kinds) > 0 {
		if !slices.Contains(kinds, "client") {
			health.Client = nil
		}
		if !slices.Contains(kinds, "server") {
			health.Server = nil
		}
	}
	rep := reply{value: &health}
	for _, part := range []*structs.AgentHealth{health.Client, health.Server} {
		if part != nil && !part.Ok {
			rep.status = http.StatusInternalServerError
		}
	}
	return rep, nil
}

// agentReload has the agent read its configuration again.
func agentReload(c *call) (reply, error) {
	if c.api.cfg.Agent == nil {
		return reply{}, errNoAgent
	}
	return reply{}, c.api.cfg.Agent.Reload(c.ctx())
}

// agentServers lists the servers that the agent's node talks to.
func agentServers(c *call) (reply, error) {
	if c.api.cfg.Agent == nil || c.api.cfg.Node == nil {
		return reply{}, refuse(http.StatusNotImplemented, "this agent has no node, so it talks to no servers")
	}
	servers := c.api.cfg.Agent.Servers()
	if servers == nil {
		servers = []string{}
	}
	return reply{value: servers}, nil
}

// agentSetServers replaces that list.
func agentSetServers(c *call) (reply, error) {
	if c.api.cfg.Agent == nil || c.api.cfg.Node == nil {
		return reply{}, refuse(http.StatusNotImplemented, "this agent has no node, so it talks to no servers")
	}
	addrs := c.query["address"]
	if len(addrs) == 0 {
		return reply{}, refuse(http.StatusBadRequest, "missing server address")
	}
	return reply{}, c.api.cfg.Agent.SetServers(addrs)
}

// serverMembers is what gossip knows, as callers see it.
func serverMembers(c *call) (reply, error) {
	members := c.api.cfg.Server.Members()
	if members == nil {
		members = []*structs.AgentMember{}
	}
	out := &structs.ServerMembers{ServerName: c.api.cfg.Name, ServerRegion: c.api.cfg.Region, Members: members}
	for _, m := range members {
		if m.Name == c.api.cfg.Name || m.Name == c.api.cfg.Name+"."+c.api.cfg.Region {
			out.ServerDC = m.Tags["dc"]
		}
	}
	return reply{value: out}, nil
}

// joined is the outcome of a join.
type joined struct {
	NumJoined int    `json:"num_joined"`
	Error     string `json:"error"`
	Warning   string `json:"warning,omitempty"`
}

// agentJoin meets other servers.
func agentJoin(c *call) (reply, error) {
	if c.api.cfg.Server == nil {
		return reply{}, errNotServer
	}
	addrs := c.query["address"]
	if len(addrs) == 0 {
		return reply{}, refuse(http.StatusBadRequest, "missing address to join")
	}
	n, err := c.api.cfg.Server.Join(addrs)
	out := joined{NumJoined: n}
	if err != nil {
		out.Error = err.Error()
	}
	return reply{value: out}, nil
}

// agentForceLeave declares a failed server gone.
func agentForceLeave(c *call) (reply, error) {
	if c.api.cfg.Server == nil {
		return reply{}, errNotServer
	}
	name := c.query.Get("node")
	if name == "" {
		return reply{}, refuse(http.StatusBadRequest, "missing node to force leave")
	}
	prune := false
	if _, given := c.query["prune"]; given {
		var err error
		if prune, err = c.flag("prune"); err != nil {
			return reply{}, err
		}
	}
	return reply{}, c.api.cfg.Server.ForceLeave(name, prune)
}
