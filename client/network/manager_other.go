//go:build !linux

package network

import (
	"context"
	"errors"

	"github.com/steppe-run/steppe/structs"
)

var errLinux = errors.New("networks of allocations take Linux")

// Manager makes no networks where there is no Linux.
type Manager struct{}

// New makes nothing.
func New(Config) (*Manager, error) { return &Manager{}, nil }

// Make refuses.
func (*Manager) Make(context.Context, Wanted) (*Made, error) { return nil, errLinux }

// Drop has nothing to do.
func (*Manager) Drop(context.Context, string) error { return nil }

// Describe tells of no networks.
func (*Manager) Describe() ([]*structs.NetworkResource, map[string]string, error) {
	return nil, nil, errLinux
}

// Sweep has nothing to do.
func (*Manager) Sweep(context.Context, func(string) bool) {}

// Run waits for the end of ctx.
func (*Manager) Run(ctx context.Context, _ func(string) bool) error {
	<-ctx.Done()
	return ctx.Err()
}
