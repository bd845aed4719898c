package client

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/steppe-run/steppe/client/alloc"
	"github.com/steppe-run/steppe/client/fingerprint"
	"github.com/steppe-run/steppe/client/local"
	"github.com/steppe-run/steppe/client/network"
	"github.com/steppe-run/steppe/client/service"
	"github.com/steppe-run/steppe/client/task"
	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

// Config says who this node is and where it keeps its things. Zero values mean
// the defaults named beside each field.
type Config struct {
	// Region, Datacenter, Name, NodeClass and NodePool describe the node
	// ("global", "dc1", the host name, "", "default").
	Region, Datacenter, Name, NodeClass, NodePool string
	// Version is the agent's own version (attribute steppe.version), Speaks the
	// version of the public surface that job files ask for (nomad.version).
	Version, Speaks string
	// Revision is the source revision the agent was built from.
	Revision string
	// StateDir holds the node's crash-safe memory. Required.
	StateDir string
	// AllocDir holds the directories of allocations. Required.
	AllocDir string
	// HTTPAddr is the address at which people reach the agent's HTTP API.
	HTTPAddr string
	// TLSEnabled says whether that API speaks TLS.
	TLSEnabled bool
	// Meta is the configured metadata of the node.
	Meta map[string]string
	// NetworkInterface names the interface whose address tasks are given;
	// empty means the one of the default route, "lo" when Dev is set.
	NetworkInterface string
	// CPUTotalCompute (MHz), MemoryTotalMB, DiskTotalMB and DiskFreeMB
	// replace what was detected.
	CPUTotalCompute, MemoryTotalMB, DiskTotalMB, DiskFreeMB int
	// Reserved is kept from allocations, and so are ReservedCores, such as 0-1.
	// ReservableCores, if set, are the only ones that they may have.
	Reserved                       structs.NodeReservedResources
	ReservedCores, ReservableCores string
	// NetworkSpeed in Mbit/s replaces what was detected.
	NetworkSpeed int
	// Fingerprints say how insistently a cloud is asked, by its name (env_aws).
	Fingerprints map[string]FingerprintConfig
	// MinDynamicPort and MaxDynamicPort bound dynamic ports (20000, 32000).
	MinDynamicPort, MaxDynamicPort int
	// NodeMaxAllocs limits the allocations of this node (0: no limit).
	NodeMaxAllocs int
	// DefaultIneligible registers a new node as ineligible.
	DefaultIneligible bool
	// HostVolumes and HostNetworks are offered to jobs.
	HostVolumes  map[string]*structs.HostVolumeInfo
	HostNetworks map[string]*structs.HostNetworkInfo
	// CgroupParent is the group under which tasks are accounted.
	CgroupParent string
	// Options are the key-value settings of client.options.
	Options map[string]string
	// NoHostUUID gives a new node a random id; when false, it is the host's
	// UUID, if the host has one. A node that has an id keeps it.
	NoHostUUID bool
	// MaxKillTimeout caps the kill_timeout of tasks (30s).
	MaxKillTimeout time.Duration
	// DisableRemoteExec refuses exec into tasks.
	DisableRemoteExec bool
	// NoServiceDiscovery switches native service registration off.
	NoServiceDiscovery bool
	// Network says how allocations with a network of their own are connected.
	// Its folder, owner and default address are the client's to fill in.
	Network NetworkConfig
	// DNS says where services are answered for by name.
	DNS DNSConfig
	// GC says when directories of finished allocations are removed.
	GC GCConfig
	// Dev marks a node whose state lives only as long as the agent: the
	// loopback interface is used and tasks are ended when Run returns.
	Dev bool
}

// FingerprintConfig says what to do when a cloud doesn't answer at first.
type FingerprintConfig struct {
	// RetryInterval lies between two attempts, of which RetryAttempts are made
	// after the first one; -1 goes on for ever.
	RetryInterval time.Duration
	RetryAttempts int
	// ExitOnFailure ends the agent after the last one.
	ExitOnFailure bool
}

// NetworkConfig is what is configured of networks.
type NetworkConfig = network.Config

// DNSConfig says how services are answered for by name.
type DNSConfig struct {
	// Addrs (host:port) to answer at; none: names aren't answered for.
	Addrs []string
	// Domain is what the names end with ("steppe").
	Domain string
	// TTL of answers.
	TTL time.Duration
	// Upstreams (host:port) are asked for other names; nil means those of
	// resolv.conf, none that other names are refused.
	Upstreams []string
}

// GCConfig are the limits of what finished allocations may occupy.
type GCConfig struct {
	// Interval between sweeps (1m).
	Interval time.Duration
	// ParallelDestroys are removed at the same time (2).
	ParallelDestroys int
	// DiskUsageThreshold and InodeUsageThreshold in percent (80, 70).
	DiskUsageThreshold, InodeUsageThreshold float64
	// MaxAllocs kept before the oldest finished ones go (50).
	MaxAllocs int
}

// Deps are the things outside of this room that a client works with.
type Deps struct {
	// Connect makes the session with the control plane. New calls it once,
	// with the identity and the handler that the session shows to servers;
	// whoever connects also runs the session.
	Connect func(id Identity, handler http.Handler) (Session, error)
	// Drivers finds task drivers by name.
	Drivers drivers.Catalog
	// Logs reads the output of drivers that leave it to the agent; nil
	// refuses such drivers.
	Logs task.Logs
	// Servers carries HTTP requests to some server of the region; nil: nothing
	// is brought from other nodes.
	Servers http.RoundTripper
	// HostUUID finds the host's UUID; nil asks the machine.
	HostUUID func(ctx context.Context) (string, error)
	// Simulated is set for a node that isn't a machine.
	Simulated *Simulated
	// Clock is the time; nil means the machine's.
	Clock clock.Clock
	// Logger receives what operators may want to read; nil discards.
	Logger *slog.Logger
}

// Simulated takes the place of what only a machine has. Its allocations have no
// directories.
type Simulated struct {
	// Memory is what survives the agent.
	Memory Memory
	// Facts are what the machine is found to be.
	Facts fingerprint.Facts
	// Node, if not nil, is how the node is described instead, but for the metadata.
	Node *structs.Node
	// Ask is how a check is probed.
	Ask func(ctx context.Context, p service.Probe) service.Outcome
	// Random and NewID are the only sources of chance.
	Random *rand.Rand
	NewID  func() string
}

// Memory is what a node remembers; see local.DB.
type Memory interface {
	alloc.Memory
	NodeMemory
	Allocs() ([]*local.Alloc, error)
	Close() error
}

// NodeMemory is what a node remembers of itself.
type NodeMemory interface {
	Identity() (local.Identity, error)
	PutIdentity(id local.Identity) error
	NodeMeta() (map[string]*string, error)
	PutNodeMeta(meta map[string]*string) error
}

// Identity is who a node is, for life.
type Identity struct {
	// NodeID names the node, SecretID proves it.
	NodeID, SecretID string
}
