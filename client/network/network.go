// Package network gives groups of tasks a network of their own: a namespace
// with an address on this node's bridge, the group's ports mapped to it, and a
// way out, or one with nothing but a loopback.
//
// What is there follows from records, one file an allocation, written before
// anything is made: names and addresses are found again after the agent or the
// machine was restarted, what nobody knows any more is swept, and the packet
// rules are computed from all records at once and put in place as one change.
// They are looked at again all the time, so that rules that somebody flushed
// come back.
//
// It must not know tasks or servers, and of drivers only how a network
// namespace is described. Begin reading at Manager, then Manager.Make.
package network

import (
	"log/slog"
	"net/netip"

	"github.com/steppe-run/steppe/drivers"
	"github.com/steppe-run/steppe/internal/clock"
	"github.com/steppe-run/steppe/structs"
)

// The bridge of a node that doesn't configure its own.
const (
	DefaultBridge = "nomad"
	DefaultSubnet = "172.26.64.0/20"
)

// InterfaceName is what the interface is called inside a namespace.
const InterfaceName = "eth0"

// DefaultNamespaces is where namespaces are found by name, as by `ip netns`.
const DefaultNamespaces = "/run/netns"

// Config is what a node says of its networks.
type Config struct {
	// Dir holds the records. Required.
	Dir string
	// Owner names this node among several agents of one machine; what it made
	// carries it.
	Owner string
	// Namespaces is where namespaces are made (DefaultNamespaces).
	Namespaces string
	// Bridge and Subnet are those of mode bridge (DefaultBridge,
	// DefaultSubnet); SubnetIPv6 may be empty: then there is no IPv6.
	Bridge, Subnet, SubnetIPv6 string
	// Hairpin lets a task reach itself by a port of the node that is mapped to
	// it, also where bridged packets pass the packet filter.
	Hairpin bool
	// NoWildcard maps ports of the default host network on its address alone,
	// and not on all addresses of the node.
	NoWildcard bool
	// DefaultAddress returns the address of the default host network; nil: "".
	DefaultAddress func() string
	// GuardedPorts are ports of the node that no task with a network of its own
	// may reach: those of the agent.
	GuardedPorts []int
	// AllowLinkLocal lets tasks reach 169.254.0.0/16, where clouds tell
	// machines who they are.
	AllowLinkLocal bool
	Clock          clock.Clock
	Logger         *slog.Logger
}

// Wanted is the network that an allocation asks for. Asking again for what is
// there already changes nothing.
type Wanted struct {
	AllocID string
	// Mode is none or bridge.
	Mode string
	// Path is a namespace that a driver has made; empty has one made.
	Path     string
	Hostname string
	Ports    []structs.PortMapping
}

// Made is a network that is there.
type Made struct {
	Isolation *drivers.NetworkIsolation
	// Status is what the servers are told; nil where there is no address.
	Status *structs.AllocNetworkStatus
}

// settings are a Config that was read.
type settings struct {
	Config
	subnet, subnet6 netip.Prefix
}

// gateway is the bridge's own address in a subnet.
func gateway(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }
