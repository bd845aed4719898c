// Package client is the node agent: it tells the servers what this machine
// offers, pulls the allocations meant for it, runs their tasks through
// drivers, and reports back what became of them.
//
// It must not know the server's rooms, nor any one driver: it sees a session
// (Servers) and the driver contract. What it decides it writes down first
// (client/local), so that the agent may die at any instant.
//
// Begin reading at Client.Run.
package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/steppe-run/steppe/internal/clock"
)

// Client is the agent of one node.
type Client struct {
	cfg    Config
	deps   Deps
	clock  clock.Clock
	logger *slog.Logger
}

// New prepares a client: it opens the node's memory and creates its identity
// if there is none yet. It starts nothing.
func New(cfg Config, deps Deps) (*Client, error) {
	return &Client{cfg: cfg, deps: deps, clock: deps.Clock, logger: deps.Logger}, nil
}

// Identity is who this node is; it is known after New.
func (c *Client) Identity() Identity { return Identity{} }

// Run works until ctx ends. Tasks go on running afterwards, unless the node is
// a development node.
func (c *Client) Run(context.Context) error { return errors.New("client: run is not built yet") }

// Handler serves the node's own part of the HTTP API: /v1/client/*.
func (c *Client) Handler() http.Handler { return http.NotFoundHandler() }
