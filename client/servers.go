package client

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/link"
	"github.com/steppe-run/steppe/structs"
)

// Session is what a node needs from its connection with the control plane.
type Session interface {
	Servers
	Services
}

// Servers is the part of a session that concerns the node and its allocations.
type Servers interface {
	// Register stores the node's description and returns the time within
	// which to heartbeat.
	Register(ctx context.Context, node *structs.Node) (time.Duration, error)
	// Heartbeat renews the node's time to live and returns the next.
	Heartbeat(ctx context.Context) (time.Duration, error)
	// WatchAllocs, asked for once the node is registered, delivers the node's
	// allocations, then each change, from the index of the last set received (0:
	// none yet). It returns when ctx ends or each fails.
	WatchAllocs(ctx context.Context, from uint64, each func(*link.AllocSet) error) error
	// UpdateAllocs reports what became of allocations.
	UpdateAllocs(ctx context.Context, updates []*structs.AllocUpdate) error
}

// Services is the part of a session that concerns the service catalogue.
type Services interface {
	// UpsertServices adds registrations or replaces those of equal ID.
	UpsertServices(ctx context.Context, services []*structs.ServiceRegistration) error
	// SyncServices makes registrations all there are of this node.
	SyncServices(ctx context.Context, services []*structs.ServiceRegistration) error
	// DeleteServices removes registrations; an unknown ID is no error.
	DeleteServices(ctx context.Context, namespace string, ids []string) error
	// WatchServices delivers the registrations of the region, then each change,
	// from the index of the last set received (0: none yet). It returns when ctx
	// ends or each fails.
	WatchServices(ctx context.Context, from uint64, each func(*link.ServiceSet) error) error
}
