package client

import (
	"context"
	"time"

	"github.com/steppe-run/steppe/structs"
)

// Servers is what a node needs from its session with the control plane.
type Servers interface {
	// Register tells the servers of this node and returns how long they
	// believe it without hearing a heartbeat.
	Register(ctx context.Context, node *structs.Node) (ttl time.Duration, err error)
	// Heartbeat says that the node lives and returns the next time to live.
	Heartbeat(ctx context.Context, nodeID string) (ttl time.Duration, err error)
	// WatchAllocs delivers the node's allocations, then each change, until
	// ctx ends, deliver fails or the session breaks. from is the index of
	// the last set that was worked in (0: send all).
	WatchAllocs(ctx context.Context, nodeID string, from uint64, deliver func(AllocSet) error) error
	// UpdateAllocs reports what became of allocations.
	UpdateAllocs(ctx context.Context, updates []*structs.AllocUpdate) error
}

// AllocSet is one delivery of WatchAllocs.
type AllocSet struct {
	// Index of the state it shows.
	Index uint64
	// Full sets replace everything known; others are changes.
	Full bool
	// Upserts are new or changed allocations, with their job.
	Upserts []*structs.Allocation
	// Removed are the ids of allocations that the servers have forgotten.
	Removed []string
}

// Services is the catalogue of native service registrations.
type Services interface {
	// UpsertServices adds registrations or replaces those of equal ID.
	UpsertServices(ctx context.Context, services []*structs.ServiceRegistration) error
	// DeleteServices removes registrations; an unknown ID is no error.
	DeleteServices(ctx context.Context, ids []string) error
}

// Drivers finds task drivers.
type Drivers interface {
	// Names lists the drivers that this node offers or tries to offer.
	Names() []string
}
