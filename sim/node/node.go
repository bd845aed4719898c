// Package node is one simulated node: the real agent, a disk and an engine that
// runs tasks as nothing but time that passes.
//
// It must not know servers or faults: what connects it is handed to it. Begin
// reading at Node.
package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"

	"github.com/steppe-run/steppe/client"
	"github.com/steppe-run/steppe/client/fingerprint"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/internal/loop"
	"github.com/steppe-run/steppe/sim/virtual"
)

// Config is what a node is made of.
type Config struct {
	Name    string
	Runtime *virtual.Runtime
	Random  *rand.Rand
	NewID   func() string
	Logger  *slog.Logger
	// Client is the agent's own configuration, Facts what its machine has.
	Client client.Config
	Facts  fingerprint.Facts
	// Before is what the node was before the history begins; nil: it is new.
	Before *Before
	// Connect makes the session of a life of the agent.
	Connect func(n *Node, m *virtual.Machine) client.Session
	// Healthy answers the checks of tasks that run; nil: they pass.
	Healthy func(n *Node, p service.Probe) bool
}

// Node is one node, through all lives of its agent.
type Node struct {
	cfg    Config
	disk   disk
	engine *Engine
	life   int

	machine *virtual.Machine // nil while the agent is away
	client  *client.Client
}

// New returns a node whose agent has not run yet.
func New(cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, engine: newEngine(cfg.Runtime)}
	n.disk.allocs = map[string]*record{}
	n.engine.look = func() {
		if n.machine != nil {
			n.machine.Look()
		}
	}
	if cfg.Before != nil {
		return n, n.remember(cfg.Before)
	}
	n.disk.identity = local.Identity{NodeID: cfg.NewID(), SecretID: cfg.NewID()}
	return n, nil
}

// Name of the node.
func (n *Node) Name() string { return n.cfg.Name }

// ID of the node.
func (n *Node) ID() string { return n.disk.identity.NodeID }

// Machine is where the agent runs; nil while it is away.
func (n *Node) Machine() *virtual.Machine { return n.machine }

// Engine runs the node's tasks.
func (n *Node) Engine() *Engine { return n.engine }

// Start begins a life of the agent.
func (n *Node) Start() error {
	n.life++
	m := n.cfg.Runtime.Machine(fmt.Sprintf("%s#%d", n.cfg.Name, n.life))
	n.machine = m
	cfg := n.cfg.Client
	cfg.Name, cfg.StateDir, cfg.AllocDir = n.cfg.Name, "/state", "/alloc"
	c, err := client.New(cfg, client.Deps{
		Connect: func(client.Identity, http.Handler) (client.Session, error) { return n.cfg.Connect(n, m), nil },
		Drivers: n.catalog(m),
		Clock:   m,
		Logger:  n.cfg.Logger.With("node", n.cfg.Name),
		Simulated: &client.Simulated{
			Memory: memory{d: &n.disk, m: m, kill: n.Kill},
			Facts:  n.cfg.Facts,
			Node:   n.described(),
			Ask:    n.ask,
			Random: n.cfg.Random,
			NewID:  n.cfg.NewID,
		},
	})
	if err != nil {
		return fmt.Errorf("start node %s: %w", n.cfg.Name, err)
	}
	n.client = c
	loop.New(m.Context()).Go("agent", func(ctx context.Context) error {
		err := c.Run(ctx)
		if err != nil && ctx.Err() == nil {
			n.cfg.Logger.Error("the agent has failed", "node", n.cfg.Name, logx.KeyError, err)
		}
		return err
	})
	return nil
}

// SetMeta changes the node's metadata, through the agent's own API.
func (n *Node) SetMeta(meta map[string]string) error {
	if n.machine == nil {
		return fmt.Errorf("the agent of %s is away", n.cfg.Name)
	}
	body, err := json.Marshal(map[string]any{"Meta": meta})
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}
	req, err := http.NewRequestWithContext(n.machine.Context(), http.MethodPost, "/v1/client/metadata", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	w := &answer{header: http.Header{}}
	n.client.Handler().ServeHTTP(w, req)
	if n.machine != nil { // the agent may have died of it
		n.machine.Look()
	}
	if w.status != 0 && w.status != http.StatusOK {
		return fmt.Errorf("set metadata of %s: %s", n.cfg.Name, w.body.String())
	}
	return nil
}

// answer keeps what a handler answers.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// Kill ends the agent at once; its tasks go on.
func (n *Node) Kill() {
	if m := n.machine; m != nil {
		n.machine = nil
		m.Kill()
	}
}

// Die ends the agent and every task, as losing power does. What is on the disk
// stays.
func (n *Node) Die() {
	n.engine.reboot()
	n.Kill()
}

// Wipe forgets what is on the disk but the node's identity.
func (n *Node) Wipe() { n.disk.allocs = map[string]*record{} }

// KillAtWrite has the agent die at one of its next writes: just before the n-th
// from now on, or just after it if n is negative.
func (n *Node) KillAtWrite(at int) { n.disk.failAt = at }

// Fill makes the disk full, or gives it room again.
func (n *Node) Fill(full bool) { n.disk.full = full }

// ask answers a check: it fails if the task doesn't run.
func (n *Node) ask(_ context.Context, p service.Probe) service.Outcome {
	for _, t := range n.engine.Running() {
		if t.Config.AllocID == p.AllocID && (p.Task == "" || t.Config.Name == p.Task) {
			ok := n.cfg.Healthy == nil || n.cfg.Healthy(n, p)
			return service.Outcome{OK: ok}
		}
	}
	return service.Outcome{Output: "connection refused"}
}
