package cluster

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/httpapi/door"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/structs"
)

// errNoAgent is the answer where nothing of the agent itself was wired in.
var errNoAgent = door.Refuse(http.StatusNotImplemented, "this agent tells nothing about itself")

// AgentSelf describes the agent.
func AgentSelf(c *door.Call) (door.Reply, error) {
	if c.Config().Agent == nil {
		return door.Reply{}, errNoAgent
	}
	self, err := c.Config().Agent.Self(c.Ctx())
	return door.Wrote(self, 0, err)
}

// AgentHealth says whether the agent works, with status 500 if it doesn't.
func AgentHealth(c *door.Call) (door.Reply, error) {
	if c.Config().Agent == nil {
		return door.Reply{}, errNoAgent
	}
	health := *c.Config().Agent.Health(c.Ctx())
	if kinds := c.Query["type"]; len(kinds) > 0 {
		if !slices.Contains(kinds, "client") {
			health.Client = nil
		}
		if !slices.Contains(kinds, "server") {
			health.Server = nil
		}
	}
	rep := door.Reply{Value: &health}
	for _, part := range []*structs.AgentHealth{health.Client, health.Server} {
		if part != nil && !part.Ok {
			rep.Status = http.StatusInternalServerError
		}
	}
	return rep, nil
}

// AgentReload has the agent read its configuration again.
func AgentReload(c *door.Call) (door.Reply, error) {
	if c.Config().Agent == nil {
		return door.Reply{}, errNoAgent
	}
	return door.Reply{}, c.Config().Agent.Reload(c.Ctx())
}

// AgentServers lists the servers that the agent's node talks to.
func AgentServers(c *door.Call) (door.Reply, error) {
	if c.Config().Agent == nil || c.Config().Node == nil {
		return door.Reply{}, door.Refuse(http.StatusNotImplemented, "this agent has no node, so it talks to no servers")
	}
	servers := c.Config().Agent.Servers()
	if servers == nil {
		servers = []string{}
	}
	return door.Reply{Value: servers}, nil
}

// AgentSetServers replaces that list.
func AgentSetServers(c *door.Call) (door.Reply, error) {
	if c.Config().Agent == nil || c.Config().Node == nil {
		return door.Reply{}, door.Refuse(http.StatusNotImplemented, "this agent has no node, so it talks to no servers")
	}
	addrs := c.Query["address"]
	if len(addrs) == 0 {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "missing server address")
	}
	return door.Reply{}, c.Config().Agent.SetServers(addrs)
}

// ServerMembers is what gossip knows, as callers see it.
func ServerMembers(c *door.Call) (door.Reply, error) {
	members := c.Server().Members()
	if members == nil {
		members = []*structs.AgentMember{}
	}
	out := &structs.ServerMembers{ServerName: c.Config().Name, ServerRegion: c.Config().Region, Members: members}
	for _, m := range members {
		if m.Name == c.Config().Name || m.Name == c.Config().Name+"."+c.Config().Region {
			out.ServerDC = m.Tags["dc"]
		}
	}
	return door.Reply{Value: out}, nil
}

// joined is the outcome of a join.
type joined struct {
	NumJoined int    `json:"num_joined"`
	Error     string `json:"error"`
	Warning   string `json:"warning,omitempty"`
}

// AgentJoin meets other servers.
func AgentJoin(c *door.Call) (door.Reply, error) {
	if c.Server() == nil {
		return door.Reply{}, door.ErrNotServer
	}
	addrs := c.Query["address"]
	if len(addrs) == 0 {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "missing address to join")
	}
	n, err := c.Server().Join(addrs)
	out := joined{NumJoined: n}
	if err != nil {
		out.Error = err.Error()
	}
	return door.Reply{Value: out}, nil
}

// AgentForceLeave declares a failed server gone.
func AgentForceLeave(c *door.Call) (door.Reply, error) {
	if c.Server() == nil {
		return door.Reply{}, door.ErrNotServer
	}
	name := c.Query.Get("node")
	if name == "" {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "missing node to force leave")
	}
	prune := false
	if _, given := c.Query["prune"]; given {
		var err error
		if prune, err = c.Flag("prune"); err != nil {
			return door.Reply{}, err
		}
	}
	return door.Reply{}, c.Server().ForceLeave(name, prune)
}

// AgentMonitor streams the agent's own log.
func AgentMonitor(c *door.Call) (door.Reply, error) {
	if c.Config().Logs == nil {
		return door.Reply{}, door.Refuse(http.StatusNotImplemented, "this agent keeps no log to follow")
	}
	for _, other := range []string{"node_id", "server_id"} {
		if c.Query.Get(other) != "" {
			return door.Reply{}, door.Refuse(http.StatusNotImplemented, "%v", structs.NotBuilt("monitors of other agents"))
		}
	}
	opts := backend.LogOptions{Level: c.Query.Get("log_level")}
	if _, err := logx.ParseLevel(opts.Level); err != nil {
		return door.Reply{}, door.Refuse(http.StatusBadRequest, "Unknown log level: %s", opts.Level)
	}
	var err error
	if opts.JSON, err = c.Flag("log_json"); err != nil {
		return door.Reply{}, err
	}
	plain, err := c.Flag("plain")
	if err != nil {
		return door.Reply{}, err
	}
	kind := "application/json"
	if plain {
		kind = "text/plain; charset=utf-8"
	}
	out := door.NewStream(c, kind)
	return door.Reply{Sent: true}, out.Run(
		func(stop door.Stopper) error {
			return c.Config().Logs.Follow(stop.Ctx, opts, func(line []byte) error {
				if plain {
					return out.Write(line)
				}
				frame, err := json.Marshal(structs.StreamFrame{Data: line})
				if err != nil {
					return err
				}
				return out.Write(frame)
			})
		},
		func(stop door.Stopper) error { return out.Beat(stop, !plain) },
	)
}
