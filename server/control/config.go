package control

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/ids"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/state"
	"github.com/steppe-run/steppe/structs"
)

// Config is what a control plane must be told. The zero value of an optional
// field means its default.
type Config struct {
	// Store is the replicated state, Journal what changes it. They are required.
	Store   *state.Store
	Journal Journal
	// Standing says whether this server leads its region, and whether it knows
	// who does. It is required.
	Standing func() (leads, known bool)
	// Beside is run while this server leads; nil: nothing is.
	Beside func(ctx context.Context) error

	Region string
	// JobMaxCount is how many allocations a job may ask for, less than 0 for no
	// limit. Default 50,000.
	JobMaxCount int
	// HeartbeatGrace is what a node gets beyond its TTL. Default 10 s.
	HeartbeatGrace time.Duration
	// MinHeartbeatTTL is the shortest TTL. Default 10 s.
	MinHeartbeatTTL time.Duration
	// MaxHeartbeatsPerSecond stretches the TTL of large regions. Default 50.
	MaxHeartbeatsPerSecond int
	// FailoverHeartbeatTTL is the least that a new leader gives every node at first.
	// Default: the ordinary TTL.
	FailoverHeartbeatTTL time.Duration
	Brake                BrakeConfig
	// QuarantineAfter is from the how manyeth loss in a row on a node takes no
	// placements for a while once it is back. Default 3; less than 0: never.
	QuarantineAfter int

	GC GCConfig
	// Room waits until what keeps the history of what is removed has room for more;
	// nil: it always has.
	Room func(ctx context.Context) error

	// DefaultSchedulerConfig is how a new region schedules, until it is changed
	// through the API. Nil means structs.DefaultSchedulerConfiguration.
	DefaultSchedulerConfig *structs.SchedulerConfiguration

	// NewID makes identifiers; nil means random ones.
	NewID  func() string
	Logger *slog.Logger
	Clock  clock.Clock
}

// GCConfig says how long finished things stay. Zero means the default.
type GCConfig struct {
	// Interval is how often the collector looks. Default 5 m.
	Interval            time.Duration
	EvalThreshold       time.Duration // 1 h
	BatchEvalThreshold  time.Duration // 24 h
	JobThreshold        time.Duration // 4 h
	NodeThreshold       time.Duration // 24 h
	DeploymentThreshold time.Duration // 1 h
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, structs.DefaultRegion)
	c.JobMaxCount = cmp.Or(c.JobMaxCount, structs.JobMaxCount)
	c.HeartbeatGrace = cmp.Or(c.HeartbeatGrace, 10*time.Second)
	c.MinHeartbeatTTL = cmp.Or(c.MinHeartbeatTTL, 10*time.Second)
	c.MaxHeartbeatsPerSecond = cmp.Or(c.MaxHeartbeatsPerSecond, 50)
	c.QuarantineAfter = cmp.Or(c.QuarantineAfter, 3)
	c.GC, c.Brake = c.GC.withDefaults(), c.Brake.withDefaults()
	if c.NewID == nil {
		c.NewID = ids.New
	}
	if c.Room == nil {
		c.Room = func(context.Context) error { return nil }
	}
	if c.Logger == nil {
		c.Logger = logx.Discard()
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	return c
}

func (g GCConfig) withDefaults() GCConfig {
	g.Interval = cmp.Or(g.Interval, 5*time.Minute)
	g.EvalThreshold = cmp.Or(g.EvalThreshold, time.Hour)
	g.BatchEvalThreshold = cmp.Or(g.BatchEvalThreshold, 24*time.Hour)
	g.JobThreshold = cmp.Or(g.JobThreshold, 4*time.Hour)
	g.NodeThreshold = cmp.Or(g.NodeThreshold, 24*time.Hour)
	g.DeploymentThreshold = cmp.Or(g.DeploymentThreshold, time.Hour)
	return g
}

// BrakeConfig says when the loss of many nodes at once is held back. The zero
// value of a field means its default.
type BrakeConfig struct {
	// Percent of the nodes may fall silent together before nothing is moved away
	// from them; 100 for all of them: nothing is ever held back. Default 40.
	Percent int
	// MinNodes is how many nodes there must be for that. Default 20.
	MinNodes int
	// Hold is after how long they are given up all the same, less than 0 for never.
	// Default 10 m.
	Hold time.Duration
}

func (b BrakeConfig) withDefaults() BrakeConfig {
	if b.Percent == 0 {
		b.Percent = 40
	}
	if b.MinNodes == 0 {
		b.MinNodes = 20
	}
	if b.Hold == 0 {
		b.Hold = 10 * time.Minute
	}
	return b
}
