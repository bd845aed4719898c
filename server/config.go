package server

import (
	"cmp"
	"log/slog"
	"net"
	"time"

	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/internal/logx"
	"github.com/steppe-run/steppe/link/certs"
	"github.com/steppe-run/steppe/server/control"
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
	// FailoverHeartbeatTTL is the least that a new leader gives every node at first.
	// Default: the ordinary TTL.
	FailoverHeartbeatTTL time.Duration
	// Brake says when the loss of many nodes at once is held back.
	Brake control.BrakeConfig
	// QuarantineAfter is from the how manyeth loss in a row on a node takes no
	// placements for a while once it is back. Default 3; less than 0: never.
	QuarantineAfter int

	GC control.GCConfig
	// History is what is kept of what left the state.
	History HistoryConfig

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

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, "global")
	c.Datacenter = cmp.Or(c.Datacenter, "dc1")
	c.BootstrapExpect = cmp.Or(c.BootstrapExpect, 1)
	c.LinkAddr = cmp.Or(c.LinkAddr, net.JoinHostPort("127.0.0.1", "4647"))
	c.SerfAddr = cmp.Or(c.SerfAddr, net.JoinHostPort("127.0.0.1", "4648"))
	if c.Logger == nil {
		c.Logger = logx.Discard()
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	return c
}
