package server

import (
	"log/slog"
	"net"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/structs"
)

// Config is what a server must be told. The zero value of an optional field
// means its default.
type Config struct {
	// Name is the server's name in its region, unique.
	Name       string
	Region     string
	Datacenter string
	// DataDir keeps the Raft log, snapshots and the server's identity. It is
	// required; a throw-away server is given a temporary directory.
	DataDir string

	// Dev makes a single server that elects itself at once.
	Dev bool
	// BootstrapExpect is how many servers must meet before they elect a first
	// leader. One makes a region of a single server.
	BootstrapExpect int
	// RetryJoin names servers to meet, tried until one answers.
	RetryJoin []string
	// RetryInterval is the longest time between two tries. Default 30 s.
	RetryInterval time.Duration
	// RetryMax ends the server after so many tries; 0 goes on.
	RetryMax int

	// LinkAddr and SerfAddr are bound; the Advertise addresses are told to the
	// others and default to what was bound.
	LinkAddr          string
	SerfAddr          string
	LinkAdvertiseAddr string
	SerfAdvertiseAddr string
	// HTTPAdvertiseAddr is where this server's public API answers.
	HTTPAdvertiseAddr string

	// TLS is the server's identity.
	TLS *certs.TLS
	// EncryptKey encrypts gossip: empty, or 16 or 32 bytes.
	EncryptKey []byte

	// Version is the program's version, told to the other members.
	Version string

	// JobMaxCount is how many allocations a job may ask for, less than 0 for no
	// limit. Default 50,000.
	JobMaxCount int
	// HeartbeatGrace is what a node gets beyond its TTL. Default 10 s.
	HeartbeatGrace time.Duration
	// MinHeartbeatTTL is the shortest TTL. Default 10 s.
	MinHeartbeatTTL time.Duration
	// MaxHeartbeatsPerSecond stretches the TTL of large regions. Default 50.
	MaxHeartbeatsPerSecond int

	GC GCConfig

	// DefaultSchedulerConfig is how a new region schedules, until it is changed
	// through the API. Nil means structs.DefaultSchedulerConfiguration.
	DefaultSchedulerConfig *structs.SchedulerConfiguration

	// RaftMultiplier stretches Raft's timeouts, 1 to 10. Default 1.
	RaftMultiplier int
	// SnapshotThreshold, SnapshotInterval and TrailingLogs say when the log is
	// cut and how much of it stays. Default 8192, 120 s, 10240.
	SnapshotThreshold, TrailingLogs uint64
	SnapshotInterval                time.Duration

	// MaxConnsPerClient bounds the link connections of one machine; 0 doesn't.
	MaxConnsPerClient int

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
	setDefault(&c.Region, "global")
	setDefault(&c.Datacenter, "dc1")
	setDefault(&c.BootstrapExpect, 1)
	setDefault(&c.LinkAddr, net.JoinHostPort("127.0.0.1", "4647"))
	setDefault(&c.SerfAddr, net.JoinHostPort("127.0.0.1", "4648"))
	setDefault(&c.JobMaxCount, structs.JobMaxCount)
	setDefault(&c.HeartbeatGrace, 10*time.Second)
	setDefault(&c.MinHeartbeatTTL, 10*time.Second)
	setDefault(&c.MaxHeartbeatsPerSecond, 50)
	c.GC = c.GC.withDefaults()
	if c.Logger == nil {
		c.Logger = logx.Discard()
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	return c
}

func (g GCConfig) withDefaults() GCConfig {
	setDefault(&g.Interval, 5*time.Minute)
	setDefault(&g.EvalThreshold, time.Hour)
	setDefault(&g.BatchEvalThreshold, 24*time.Hour)
	setDefault(&g.JobThreshold, 4*time.Hour)
	setDefault(&g.NodeThreshold, 24*time.Hour)
	setDefault(&g.DeploymentThreshold, time.Hour)
	return g
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
