// Package door is what every request to the public HTTP interface goes
// through: host, route, origin, body, options and seat (who has to answer: this
// agent, any server, the leader, a node) are settled here, and the answer is
// written here: JSON, lists in pages, streams, refusals.
//
// It must not know any noun of the field nor any row of the table: both come
// from above. Begin reading at Route, then API.ServeHTTP, then API.seat.
package door

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-run/steppe/httpapi/backend"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
)

// Config is what an API is made of. Logger and Clock default to silence and
// the machine's clock; everything else may stay empty on an agent that doesn't
// have it.
type Config struct {
	// Region and Name are this agent's.
	Region string
	Name   string

	// Hosts are further names that a Host header may carry: advertised
	// addresses and whatever the operator configured, without ports.
	// Loopback names and the listener's own addresses are always good.
	Hosts []string

	// ResponseHeaders go with every answer. Only here an operator can let pages
	// of other origins read answers; keys are in canonical form.
	ResponseHeaders map[string]string

	// Server is this agent's server, nil on an agent that only runs tasks.
	Server backend.Server
	// Upstream reaches some server of this region, for an agent that has no
	// server of its own.
	Upstream http.RoundTripper
	// Regions reaches other regions.
	Regions backend.Regions
	// Node is this agent's node, nil on an agent that only serves.
	Node backend.LocalNode
	// Agent answers about the agent itself.
	Agent backend.Agent
	// Logs is the agent's own log, for monitoring.
	Logs backend.Logs

	// MaxJobBody bounds the body of requests that carry a job, in bytes.
	// Zero means 10 MiB.
	MaxJobBody int64
	// LeaderWait is how long a request waits for a leader during an election
	// before it is refused. Zero means 5 s.
	LeaderWait time.Duration

	// Metrics receives a sample a request, if not nil.
	Metrics *metrics.Metrics
	// Sink holds the recent metrics that /v1/metrics shows.
	Sink *metrics.InmemSink
	// Prometheus, if not nil, offers the metrics in Prometheus' format too.
	Prometheus prometheus.Gatherer

	Logger *slog.Logger
	Clock  clock.Clock
}

const (
	defaultMaxJobBody = 10 << 20
	maxSmallBody      = 256 << 10
	defaultLeaderWait = 5 * time.Second
)

// API answers requests. It is an http.Handler for the public listener; Inside
// is the handler for requests that another agent forwarded.
type API struct {
	cfg   Config
	table *table
	log   *slog.Logger
	clock clock.Clock
	gzips sync.Pool
	hosts map[string]bool
}

// New makes an API that answers the rows. It fails if the table of routes contradicts itself or if
// the agent is neither server, nor node, nor has anyone to ask.
func New(cfg Config, rows []*Route) (*API, error) {
	if cfg.Server == nil && cfg.Upstream == nil && cfg.Node == nil {
		return nil, errors.New("make HTTP interface: the agent is neither a server nor a node and knows no server to ask")
	}
	if cfg.Logger == nil {
		cfg.Logger = logx.Discard()
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.MaxJobBody <= 0 {
		cfg.MaxJobBody = defaultMaxJobBody
	}
	if cfg.LeaderWait <= 0 {
		cfg.LeaderWait = defaultLeaderWait
	}
	a := &API{cfg: cfg, log: cfg.Logger.With(logx.KeyRoom, "httpapi"), clock: cfg.Clock, hosts: knownHosts(cfg.Hosts)}
	var err error
	if a.table, err = NewTable(rows); err != nil {
		return nil, err
	}
	return a, nil
}
